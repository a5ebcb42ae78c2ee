//! Every folder of `cases` is a graph: `<subgraph>.graphql` with `<subgraph>.json`, and queries
//! `<name>.query.graphql` with, where there are any, `<name>.variables.json`. The snapshot beside each query
//! holds the answer and what each subgraph was asked.

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use gateway::Config;
use serde_json::Value;

fn files(folder: &Path, ending: &str) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = std::fs::read_dir(folder)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter_map(|path| {
            let name = path.file_name()?.to_str()?.strip_suffix(ending)?.to_owned();
            (!name.contains('.')).then_some((name, path))
        })
        .collect();
    found.sort();
    found
}

async fn run(case: &str) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(case);
    let read = |path: &Path| {
        std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    let parts: Vec<(String, String, Value)> = files(&folder, ".graphql")
        .into_iter()
        .map(|(name, path)| {
            let data = read(&folder.join(format!("{name}.json")));
            let data =
                serde_json::from_str(&data).unwrap_or_else(|error| panic!("{case}/{name}.json: {error}"));
            (name, read(&path), data)
        })
        .collect();
    let subgraphs: Vec<(&str, &str, Value)> =
        parts.iter().map(|(name, sdl, data)| (name.as_str(), sdl.as_str(), data.clone())).collect();
    let queries = files(&folder, ".query.graphql");
    assert!(!queries.is_empty(), "{case} has no query");
    for (name, path) in queries {
        let (transport, log) = support::transport_of(&subgraphs);
        let supergraph = support::composed(&subgraphs);
        let gateway = support::gateway_over(supergraph, transport, Config::default());
        let variables = std::fs::read_to_string(folder.join(format!("{name}.variables.json")));
        let variables = variables.map_or(Value::Null, |text| serde_json::from_str(&text).expect("JSON"));
        let answer = support::ask(&gateway, &read(&path), variables).await;
        let body = support::json_of(&answer);
        let mut shown = format!("{}\n\n", serde_json::to_string_pretty(&body).expect("JSON"));
        writeln!(shown, "cache-control: {}", answer.cache).expect("text");
        let mut asked: Vec<String> = log
            .lock()
            .expect("the log")
            .iter()
            .map(|(subgraph, query, variables)| {
                let variables = if variables.is_null() { String::new() } else { format!("\n  {variables}") };
                format!("{subgraph}: {query}{variables}")
            })
            .collect();
        // What runs in parallel may arrive in any order.
        if !read(&path).trim_start().starts_with("mutation") {
            asked.sort();
        }
        writeln!(shown, "{}", asked.join("\n")).expect("text");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path(&folder);
        settings.set_prepend_module_to_snapshot(false);
        settings.set_omit_expression(true);
        settings.bind(|| insta::assert_snapshot!(name.as_str(), shown));
    }
}

/// `percent(20)` is a fifth of the requests, and a label holds for all of them or for none.
#[tokio::test]
async fn a_field_moves_for_its_share_of_requests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/override_progressive");
    let read = |name: &str| std::fs::read_to_string(folder.join(name)).expect("a file");
    let part = |name: &str| {
        let data = serde_json::from_str(&read(&format!("{name}.json"))).expect("JSON");
        (read(&format!("{name}.graphql")), data)
    };
    let (old, renewed) = (part("old"), part("renewed"));
    let subgraphs = [("old", old.0.as_str(), old.1), ("renewed", renewed.0.as_str(), renewed.1)];
    for (labels, due) in [(vec![], "old due"), (vec!["renewed-due".to_owned()], "new due")] {
        let config = Config { override_labels: labels, ..Config::default() };
        let (gateway, _) = support::gateway_of(&subgraphs, config);
        let mut moved = 0;
        for _ in 0..100 {
            let answer = support::ask(&gateway, "{ bill { total due } }", Value::Null).await;
            let body = support::json_of(&answer);
            assert_eq!(body["data"]["bill"]["due"], due);
            moved += u32::from(body["data"]["bill"]["total"] == "new total");
        }
        assert!((19..=21).contains(&moved), "{moved} of 100");
    }
}

macro_rules! cases {
    ($($name:ident)*) => {
        $(#[tokio::test]
        async fn $name() {
            run(stringify!($name)).await;
        })*

        #[test]
        fn every_folder_is_run() {
            let mut found: Vec<String> = std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases"))
                .expect("the cases")
                .map(|entry| entry.expect("an entry").file_name().into_string().expect("UTF-8"))
                .collect();
            found.sort();
            let mut run = vec![$(stringify!($name)),*];
            run.sort_unstable();
            assert_eq!(found, run);
        }
    };
}

cases! {
    aliases
    circular
    errors
    federation_1
    inaccessible
    interface_object
    interface_object_requires
    interface_object_stub
    interfaces
    intersections
    key
    key_nested
    key_of_a_list
    mutations
    narrowed
    nested
    null_keys
    override_field
    override_progressive
    provides
    provides_nested
    provides_union
    requires
    requires_abstract
    requires_arguments
    requires_interface
    sent_and_returned
    shareable
    skip_include
    unions
    unions_in_part
}
