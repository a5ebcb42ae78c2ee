//! `tributary contracts` and `tributary check` as people and machines use them. What differs is what was released: today's
//! contracts are the binary's own.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

use schemas::usage::{Client, Operation, UsageLine};
use schemas::{Hash, Schemas};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use tempfile::TempDir;

const PLACED: &str = "events/orders/OrderPlaced/v1.schema.json";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap().path();
        let to = to.join(entry.file_name().unwrap());
        if entry.is_dir() { copy(&entry, &to) } else { _ = fs::copy(&entry, &to).unwrap() }
    }
}

/// A folder with the suite's `events`.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    copy(&repository().join("events"), &folder.path().join("events"));
    folder
}

fn change(folder: &Path, file: &str, change: impl FnOnce(&mut Value)) {
    let path = folder.join(file);
    let mut value: Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
    change(&mut value);
    fs::write(path, format!("{value:#}\n")).unwrap();
}

/// Orders had a channel once, which inventory read.
fn with_channel(folder: &Path) {
    change(folder, PLACED, |it| {
        let order = &mut it["$defs"]["Order"];
        order["properties"]["channel"] = json!({ "type": "string", "description": "Where it was placed." });
        order["required"].as_array_mut().unwrap().push("channel".into());
    });
    change(folder, "events/readers.json", |it| {
        it.as_array_mut().unwrap().push(json!({
            "micrograph": "inventory", "event": "orders.OrderPlaced", "major": 1,
            "projections": { "reservations": { "channel": ["by_channel"] } },
            "needed": ["channel"],
            "graph": { "channel": ["Product.soldBy"] },
        }));
    });
}

fn tributary(at: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_tributary")).current_dir(at).args(arguments).output().unwrap()
}

fn text(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn git(at: &Path, arguments: &[&str]) {
    let identity = ["-c", "user.name=A", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"];
    let done = Command::new("git").arg("-C").arg(at).args(identity).args(arguments).output().unwrap();
    assert!(done.status.success(), "git {arguments:?}: {}", text(&done));
}

#[test]
fn a_break_is_told_with_those_whom_it_hits_in_every_format() {
    let past = folder();
    with_channel(past.path());
    let today = folder();
    let against = past.path().to_str().unwrap();
    let run = |format: &str| {
        tributary(today.path(), &["contracts", "check", "--against", against, "--format", format])
    };

    let told = run("text");
    assert_eq!(told.status.code(), Some(1), "{}", text(&told));
    let told = text(&told);
    let expected = [
        "error[field-removed]: orders.OrderPlaced v1 data.channel: it is gone",
        "--> events/orders/OrderPlaced/v1.schema.json:",
        "inventory.reservations (by_channel) → Product.soldBy; can't decode the event without it",
        "publish OrderPlaced v2 beside v1, with an upcaster from v1",
        "Stopped: 1 error, 0 warnings.",
    ];
    for expected in expected {
        assert!(told.contains(expected), "{expected} is not in\n{told}");
    }

    let json: Value = serde_json::from_slice(&run("json").stdout).unwrap();
    let problem = &json["problems"][0];
    assert_eq!((json["passes"].clone(), problem["rule"].clone()), (json!(false), json!("field-removed")));
    assert_eq!((&problem["category"], &problem["path"]), (&json!("wire"), &json!("data.channel")));
    assert_eq!(problem["hits"][0]["shows"], json!(["Product.soldBy"]));

    let sarif: Value = serde_json::from_slice(&run("sarif").stdout).unwrap();
    let result = &sarif["runs"][0]["results"][0];
    assert_eq!(
        (&sarif["version"], &result["ruleId"], &result["level"]),
        (&json!("2.1.0"), &json!("field-removed"), &json!("error"))
    );
    assert_eq!(result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], PLACED);

    let github = text(&run("github"));
    assert!(github.starts_with("::error file=events/orders/OrderPlaced/v1.schema.json,line="), "{github}");
    assert_eq!(github.lines().count(), 1, "one annotation is one line: {github}");
}

#[test]
fn the_twin_passes_and_a_warning_stops_only_who_asks_for_it() {
    let past = folder();
    change(past.path(), PLACED, |it| {
        it["$defs"]["Line"]["properties"]["unitPrice"]["description"] =
            "The exact price of one, in pence.".into();
    });
    let today = folder();
    let against = past.path().to_str().unwrap();
    let told = tributary(today.path(), &["contracts", "check", "--against", against]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told));
    assert!(
        text(&told).contains("warning[unit-changed]: orders.OrderPlaced v1 data.lines[].unitPrice"),
        "{}",
        text(&told)
    );
    assert!(text(&told).contains("popularity.sales"), "{}", text(&told));
    let strict = tributary(today.path(), &["contracts", "check", "--against", against, "--deny-warnings"]);
    assert_eq!(strict.status.code(), Some(1), "{}", text(&strict));

    let same = tributary(
        today.path(),
        &["contracts", "check", "--against", today.path().to_str().unwrap(), "--deny-warnings"],
    );
    assert_eq!(same.status.code(), Some(0), "{}", text(&same));
}

const CATALOGUE: &str = "services/catalogue/schema.graphql";

/// The schemas of the suite's subgraphs beside its events; products had a subtitle once.
fn with_subtitle(folder: &Path) {
    for service in fs::read_dir(repository().join("services")).unwrap() {
        let service = service.unwrap().path();
        let schema = service.join("schema.graphql");
        if schema.exists() {
            let to = folder.join("services").join(service.file_name().unwrap());
            fs::create_dir_all(&to).unwrap();
            fs::copy(schema, to.join("schema.graphql")).unwrap();
        }
    }
    let titles = "  titles(after: String, first: Int): TitleConnection!\n";
    replace(folder, titles, &format!("{titles}  \"What is below the title.\"\n  subtitle: String\n"));
}

fn replace(folder: &Path, from: &str, to: &str) {
    let path = folder.join(CATALOGUE);
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from} is gone from the catalogue");
    fs::write(&path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_change_of_the_graph_is_told_and_without_usage_it_is_a_warning_but_a_key_is_not() {
    let past = folder();
    let check = |more: &[&str]| {
        let against = ["check", "--against", past.path().to_str().unwrap()];
        tributary(&repository(), &[&against, more].concat())
    };
    with_subtitle(past.path());
    let told = check(&[]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told));
    for expected in [
        "warning[field-removed]: catalogue Product.subtitle: ",
        "--> services/catalogue/schema.graphql:",
        "a registry knows: name it with --registry URL or --store DIR",
        "8 subgraphs composed, compared with 1 earlier graph",
    ] {
        assert!(text(&told).contains(expected), "{expected} is not in\n{}", text(&told));
    }
    assert_eq!(check(&["--deny-warnings"]).status.code(), Some(1));

    replace(
        past.path(),
        "type Product @key(fields: \"sku\")",
        "type Product @key(fields: \"sku\") @key(fields: \"title\")",
    );
    let told = check(&[]);
    assert!(text(&told).contains("warning[key-removed]: catalogue Product: "), "{}", text(&told));

    // What composes no more is told where it is.
    replace(past.path(), "  subtitle: String\n", "  subtitle: Nothing\n");
    let told = check(&[]);
    assert!(
        text(&told).contains("don't compose: what changed for clients since is not known"),
        "{}",
        text(&told)
    );
}

#[tokio::test]
async fn a_registry_that_is_named_says_whom_a_change_of_the_graph_hits() {
    let past = folder();
    with_subtitle(past.path());
    let store = past.path().join("schemas");
    let store_path = store.to_str().unwrap();
    let check = |more: &[&str]| {
        tributary(&repository(), &[&["check", "--against", "events", "--store", store_path], more].concat())
    };
    let none = check(&[]);
    assert_eq!(none.status.code(), Some(3), "{}", text(&none));
    assert!(text(&none).contains("there is no such folder"), "{}", text(&none));
    fs::create_dir(&store).unwrap();
    let empty = check(&[]);
    assert_eq!(empty.status.code(), Some(3), "{}", text(&empty));
    assert!(text(&empty).contains("there is no variant `production`"), "{}", text(&empty));

    let schemas = fs::read_dir(past.path().join("services")).unwrap().map(|entry| {
        let entry = entry.unwrap().path();
        format!("{}={}", entry.file_name().unwrap().to_str().unwrap(), entry.join("schema.graphql").display())
    });
    let schemas: Vec<String> = schemas.collect();
    let publish: Vec<&str> = ["schema", "publish", "--store", store_path]
        .into_iter()
        .chain(schemas.iter().map(String::as_str))
        .collect();
    let published = tributary(past.path(), &publish);
    assert!(published.status.success(), "{}", text(&published));
    let unknown = check(&[]);
    assert_eq!(unknown.status.code(), Some(1), "nobody knows who uses it: {}", text(&unknown));
    assert!(
        text(&unknown).contains("error[field-removed]: catalogue Product.subtitle: "),
        "{}",
        text(&unknown)
    );
    assert_eq!(check(&["--accept", "Product.subtitle"]).status.code(), Some(0));

    sent(&store, "Titles", "query Titles { products { nodes { title } } }").await;
    let unused = check(&[]);
    assert_eq!(unused.status.code(), Some(0), "{}", text(&unused));
    assert!(text(&unused).contains("warning[field-removed]"), "{}", text(&unused));
    sent(&store, "Subtitles", "query Subtitles { products { nodes { subtitle } } }").await;
    let used = check(&[]);
    assert_eq!(used.status.code(), Some(1), "{}", text(&used));
    assert!(text(&used).contains("clients:  web 1.2, by Subtitles: 3 times"), "{}", text(&used));
    assert!(text(&used).contains("held against 2 operations in use"), "{}", text(&used));
    let json: Value = serde_json::from_slice(&check(&["--format", "json"]).stdout).unwrap();
    assert_eq!(json["problems"][0]["clients"][0]["client"]["name"], "web", "{json:#}");
}

/// A client sent this to the gateway, which noted it.
async fn sent(store: &Path, name: &str, operation: &str) {
    let now = micrograph::environment::now();
    let line = UsageLine {
        at: now,
        until: now,
        client: Client { name: "web".into(), version: "1.2".into() },
        operation: Operation { name: name.into(), hash: Hash::of(operation), text: operation.into() },
        count: 3,
        contract: None,
    };
    let schemas = Schemas::in_folder(store).unwrap();
    schemas.record_usage(&"production".parse().unwrap(), &[line]).await.unwrap();
}

#[test]
fn git_gives_what_was_released_and_says_what_it_lacks() {
    let work = folder();
    let at = work.path();
    let check = |arguments: &[&str]| tributary(at, &[&["contracts", "check"], arguments].concat());

    let none = check(&[]);
    assert_eq!(none.status.code(), Some(0), "{}", text(&none));
    assert!(text(&none).contains("in no git repository"), "{}", text(&none));
    let asked = check(&["--against", "main"]);
    assert_eq!(asked.status.code(), Some(3), "{}", text(&asked));

    git(at, &["init", "-q", "-b", "main"]);
    let empty = check(&[]);
    assert_eq!(empty.status.code(), Some(0), "{}", text(&empty));
    assert!(text(&empty).contains("the last commit could not be looked at"), "{}", text(&empty));

    let clean = fs::read_to_string(at.join("events/readers.json")).unwrap();
    with_channel(at);
    git(at, &["add", "-A"]);
    git(at, &["commit", "-qm", "With a channel"]);
    let broken = check(&[]);
    assert_eq!(broken.status.code(), Some(1), "{}", text(&broken));
    assert!(text(&broken).contains("released: the last commit, HEAD ("), "{}", text(&broken));
    assert!(text(&broken).contains("the commit before it could not be looked at"), "{}", text(&broken));

    // The break is committed: the commit before it tells.
    fs::copy(repository().join(PLACED), at.join(PLACED)).unwrap();
    fs::write(at.join("events/readers.json"), clean).unwrap();
    git(at, &["commit", "-qam", "Without"]);
    let committed = check(&[]);
    assert_eq!(committed.status.code(), Some(1), "{}", text(&committed));
    assert!(text(&committed).contains("released: the commit before it, HEAD^ ("), "{}", text(&committed));
    assert_eq!(check(&["--against", "HEAD"]).status.code(), Some(0));
    let unknown = check(&["--against", "v9"]);
    assert_eq!(unknown.status.code(), Some(3));
    assert!(text(&unknown).contains("there is no commit `v9`"), "{}", text(&unknown));

    let shallow = tempfile::tempdir().unwrap();
    let from = format!("file://{}", at.display());
    git(shallow.path(), &["clone", "-q", "--depth", "1", &from, "clone"]);
    let clone = shallow.path().join("clone");
    let told = tributary(&clone, &["contracts", "check"]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told));
    assert!(
        text(&told).contains("this clone is shallow") && text(&told).contains("git fetch --deepen"),
        "{}",
        text(&told)
    );
    assert_eq!(tributary(&clone, &["contracts", "check", "--against", "HEAD^"]).status.code(), Some(3));
}

#[test]
fn a_release_freezes_what_changed_and_a_frozen_file_stays() {
    let work = folder();
    let at = work.path();
    let nothing = tributary(at, &["contracts", "release"]);
    assert!(nothing.status.success(), "{}", text(&nothing));
    let first = text(&nothing);
    fs::remove_dir_all(at.join("events/orders/OrderPlaced/released")).unwrap();
    let again = tributary(at, &["contracts", "release"]);
    assert!(text(&again).contains("orders/OrderPlaced/released/v1.0"), "{first}{}", text(&again));
    assert!(
        text(&tributary(at, &["contracts", "release"])).contains("Nothing changed since the last release.")
    );

    let past = folder();
    let frozen = "events/orders/OrderPlaced/released/v1.0.example.json";
    change(at, frozen, |it| it["data"]["country"] = "France".into());
    let told = tributary(at, &["contracts", "check", "--against", past.path().to_str().unwrap()]);
    assert_eq!(told.status.code(), Some(1), "{}", text(&told));
    assert!(
        text(&told).contains("error[release-changed]: orders.OrderPlaced v1: v1.0 was changed"),
        "{}",
        text(&told)
    );

    let early = tributary(
        at,
        &["contracts", "retire", "orders.OrderPlaced", "--major", "1", "--why", "nobody reads it"],
    );
    assert!(!early.status.success() && text(&early).contains("EventsRead"), "{}", text(&early));
}

#[test]
fn who_reads_a_field_is_told_by_projection_attribute_and_graph() {
    let at = repository();
    let lines =
        text(&tributary(&at, &["contracts", "who", "--event", "OrderPlaced", "--field", "lines[].title"]));
    assert!(lines.contains("orders.orders") && lines.contains("OrderLine.title"), "{lines}");
    assert!(lines.contains("popularity decodes it and makes nothing of it"), "{lines}");
    let all = text(&tributary(&at, &["contracts", "who", "--event", "catalogue.ProductListed"]));
    assert!(all.contains("pricing.offers (reads v1)") && !all.contains("Nobody"), "{all}");
    let ended = text(&tributary(&at, &["contracts", "who", "--event", "ProductDelisted"]));
    assert!(ended.contains("Product.forSale") && ended.contains("Product.title"), "{ended}");
    let json = tributary(&at, &["contracts", "who", "--event", "ProductPriced", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert!(json.as_array().unwrap().iter().any(|it| it["micrograph"] == "orders"), "{json:#}");
    let wrong = tributary(&at, &["contracts", "who", "--event", "OrderShipped"]);
    assert!(
        !wrong.status.success() && text(&wrong).contains("known are catalogue.ProductDelisted"),
        "{}",
        text(&wrong)
    );
    let wrong = tributary(&at, &["contracts", "who", "--event", "OrderPlaced", "--field", "line"]);
    assert!(!wrong.status.success() && text(&wrong).contains("it has country, currency"), "{}", text(&wrong));
}

#[test]
fn the_suite_itself_passes_every_check() {
    let told = tributary(&repository(), &["check", "--against", "events"]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told));
    for check in ["contracts", "files", "architecture", "examples", "samples", "graph"] {
        let line = text(&told).lines().find(|line| line.starts_with(check)).map(str::to_owned);
        assert!(line.as_ref().is_some_and(|line| line.contains("ok")), "{check}: {}", text(&told));
    }
    // Outside of a repository there is nothing to check.
    let nowhere = tempfile::tempdir().unwrap();
    let told = tributary(nowhere.path(), &["check"]);
    assert_eq!(told.status.code(), Some(3), "{}", text(&told));
    assert!(text(&told).contains("--root"), "{}", text(&told));
    assert_eq!(tributary(nowhere.path(), &["check", "--format", "xml"]).status.code(), Some(2));
}
