//! `tributary schema` as a process: over a folder, over HTTP, with its exit codes.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use registry::Registry;
use registry::http::{Auth, router};
use schemas::usage::{Client, Operation, UsageLine, signature};
use schemas::{Schemas, Variant};
use std::path::Path;
use std::process::{Command, Output};

const BOOKS: &str = "\"What there is.\"\ntype Query {\n  \"All books.\"\n  books: [Book!]!\n}\n\"A book.\"\n\
                     type Book {\n  \"Its title.\"\n  title: String!\n  \"Its author.\"\n  author: String\n}\n";

fn tributary(store: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
    command.env_remove("TRIBUTARY_REGISTRY").env_remove("TRIBUTARY_VARIANT");
    command.arg("schema").args(arguments).arg("--store").arg(store);
    command.output().unwrap()
}

fn said(output: &Output, code: i32) -> String {
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{text}");
    text
}

fn now() -> jiff::Timestamp {
    micrograph::environment::now()
}

/// Records that a client asks for authors.
async fn used(schemas: &Schemas) {
    let signature = signature("query Shelf { books { title author } }", None).unwrap();
    let line = UsageLine {
        at: now() - jiff::SignedDuration::from_mins(2),
        until: now() - jiff::SignedDuration::from_mins(1),
        client: Client { name: "web".to_owned(), version: "7.2".to_owned() },
        operation: Operation { name: signature.name, hash: signature.hash, text: signature.text },
        count: 12,
        contract: None,
    };
    let production: Variant = "production".parse().unwrap();
    schemas.record_usage(&production, &[line]).await.unwrap();
}

#[tokio::test]
async fn a_schema_is_published_changed_refused_and_rolled_back() {
    let root = tempfile::tempdir().unwrap();
    let store = root.path().join("schemas");
    let file = |name: &str, text: &str| {
        let path = root.path().join(name);
        std::fs::write(&path, text).unwrap();
        format!("books={}", path.display())
    };
    let books = file("books.graphql", BOOKS);
    let without = file("without.graphql", &BOOKS.replace("  \"Its author.\"\n  author: String\n", ""));
    let more = file("more.graphql", &BOOKS.replace("author: String", "author: String\n  pages: Int"));

    assert!(said(&tributary(&store, &["list"]), 0).contains("Nothing was published yet"));
    let text = said(
        &tributary(&store, &["publish", &books, "--url", "books=http://books.example", "--by", "ann"]),
        0,
    );
    assert!(text.contains("Version 1 is live: published books."), "{text}");
    let text = said(&tributary(&store, &["publish", &books]), 0);
    assert!(text.contains("Nothing changed: version 1 stands."), "{text}");

    // Nobody knows who uses what: it counts.
    assert!(said(&tributary(&store, &["check", &without]), 1).contains("no-usage"));
    used(&Schemas::in_folder(&store).unwrap()).await;
    let text = said(&tributary(&store, &["publish", &without]), 1);
    for part in [
        "error[field-removed]: The field `Book.author` is removed.",
        "hits: web 7.2, by Shelf: 12 times",
        "= help: Keep the field",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let json: serde_json::Value =
        serde_json::from_slice(&tributary(&store, &["check", &without, "--format", "json"]).stdout).unwrap();
    assert_eq!(json["findings"][0]["rule"], "field-removed");
    assert_eq!(json["findings"][0]["hit"][0]["client"]["name"], "web");

    let text = said(&tributary(&store, &["publish", &more, "--by", "bob", "--message", "with pages"]), 0);
    assert!(text.contains("warning[description-field]") && text.contains("more.graphql:12"), "{text}");
    let github = said(&tributary(&store, &["check", &without, "--format", "github"]), 1);
    assert!(github.contains("without.graphql,line=7,col=1,title=field-removed::The field"), "{github}");
    let text = said(&tributary(&store, &["diff"]), 0);
    assert!(
        text.contains("From version 1 to 2:") && text.contains("field-added: The field `Book.pages: Int`"),
        "{text}"
    );
    let text = said(&tributary(&store, &["history"]), 0);
    assert!(
        text.contains("bob: published books") && text.contains("with pages") && text.contains("ann:"),
        "{text}"
    );
    let text = said(&tributary(&store, &["rollback", "--to", "1"]), 0);
    assert!(text.contains("Version 3 is live: rolled back to version 1."), "{text}");
    assert!(!said(&tributary(&store, &["supergraph", "--api"]), 0).contains("pages"));
    assert!(said(&tributary(&store, &["supergraph"]), 0).contains("join__Graph"));

    assert!(said(&tributary(&store, &["rollback", "--to", "9"]), 3).contains("has 1 to 3"));
    assert!(
        said(&tributary(&store, &["history", "--variant", "staging"]), 3).contains("there are production")
    );
    assert!(said(&tributary(&store, &["check", "books=/nowhere"]), 3).contains("can't be read"));
    said(&tributary(&store, &["check"]), 2);
    said(&tributary(&store, &["list", "--variant", "Not A Name"]), 2);
    said(&tributary(&store, &["lints", "--set", "description-field=error"]), 0);
    said(&tributary(&store, &["check", &more]), 1);
    assert!(
        said(&tributary(&store, &["lints", "--set", "nonsense=off"]), 3)
            .contains("there is no lint `nonsense`")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_elsewhere_answers_as_the_folder_does() {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("books.graphql");
    std::fs::write(&file, BOOKS).unwrap();
    let books = format!("books={}", file.display());
    let auth = Auth::tokens(&format!(
        "[{{\"name\":\"ci\",\"sha256\":\"{}\",\"may\":\"admin\"}}]",
        schemas::Hash::of("secret")
    ));
    let schemas = Schemas::in_memory();
    used(&schemas).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let served = router(Registry::new(schemas, now), auth.unwrap());
    tokio::spawn(async move { axum::serve(listener, served).await });
    let ask = |token: &'static str, arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tributary"));
        command.env("TRIBUTARY_REGISTRY", &url).env("TRIBUTARY_REGISTRY_TOKEN", token);
        command.arg("schema").args(arguments);
        tokio::task::block_in_place(|| command.output().unwrap())
    };
    assert!(said(&ask("secret", &["publish", &books]), 0).contains("Version 1 is live"));
    assert!(said(&ask("secret", &["list"]), 0).contains("production: version 1"));
    assert!(said(&ask("secret", &["history"]), 0).contains("ci: published books"));
    assert!(
        said(&ask("secret", &["contract", "set", "public", "--exclude", "internal"]), 0)
            .contains("Version 2")
    );
    assert!(said(&ask("secret", &["contract", "list"]), 0).contains("contract public: -internal"));
    assert!(said(&ask("secret", &["supergraph", "--api", "--contract", "public"]), 0).contains("author"));
    assert!(
        said(&ask("secret", &["contract", "remove", "public"]), 0).contains("removed the contract public")
    );
    assert!(said(&ask("secret", &["diff", "--from", "1"]), 0).contains("nothing changed"));
    assert!(
        said(&ask("secret", &["lints", "--set", "naming-type=off"]), 0)
            .contains("naming-type               off")
    );
    std::fs::write(&file, BOOKS.replace("  \"Its author.\"\n  author: String\n", "")).unwrap();
    assert!(said(&ask("secret", &["publish", &books]), 1).contains("hits: web 7.2"));
    assert!(said(&ask("wrong", &["list"]), 3).contains("show who you are"));
    let nobody = ask("secret", &["list", "--registry", "http://127.0.0.1:9"]);
    assert!(said(&nobody, 3).contains("doesn't answer"));
}
