//! Every folder of `tests/composition` is a set of subgraphs with what they compose to: `supergraph.graphql`, without
//! what is in every supergraph, or `errors.txt`; and `hints.txt`, if there are any. Run with `UPDATE_GOLDEN=1` to write
//! them, and review what changed.

use std::path::{Path, PathBuf};

use composition::{Code, Subgraph, compose, render_errors, render_hints};

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/composition");
    let mut cases: Vec<PathBuf> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.is_dir())
        .collect();
    cases.sort();
    cases
}

fn subgraphs(case: &Path) -> Vec<Subgraph> {
    let mut subgraphs: Vec<Subgraph> = std::fs::read_dir(case)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "graphql"))
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            let sdl = std::fs::read_to_string(&path).expect("a readable file");
            (name != "supergraph").then_some(Subgraph { name, url: String::new(), sdl })
        })
        .collect();
    subgraphs.sort_by(|a, b| a.name.cmp(&b.name));
    subgraphs
}

/// A supergraph without what is in every one.
fn own_parts(supergraph: &str) -> String {
    let constant = [
        "directive @join__",
        "directive @link(",
        "scalar join__",
        "scalar link__",
        "enum link__",
        "enum join__Graph",
    ];
    let parts: Vec<&str> = supergraph
        .split("\n\n")
        .filter(|part| !constant.iter().any(|start| part.starts_with(start)))
        .collect();
    format!("{}\n", parts.join("\n\n").trim_end())
}

#[test]
fn each_case_composes_as_written() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let mut wrong = Vec::new();
    let cases = cases();
    assert!(cases.len() > 100, "the cases are gone");
    for case in &cases {
        let subgraphs = subgraphs(case);
        let (supergraph, errors, hints) = match compose(&subgraphs) {
            Ok(composed) => {
                let hints = render_hints(&composed.hints, &subgraphs);
                (Some(own_parts(&composed.supergraph)), None, (!hints.is_empty()).then_some(hints))
            }
            Err(errors) => (None, Some(render_errors(&errors, &subgraphs)), None),
        };
        for (file, found) in
            [("supergraph.graphql", supergraph), ("errors.txt", errors), ("hints.txt", hints)]
        {
            let path = case.join(file);
            let committed = std::fs::read_to_string(&path).ok();
            if committed == found {
                continue;
            }
            if update {
                match &found {
                    Some(text) => std::fs::write(&path, text).expect("a writable folder"),
                    None => std::fs::remove_file(&path).expect("a writable folder"),
                }
            } else {
                let name = case.file_name().unwrap_or_default().to_string_lossy().into_owned();
                wrong.push(format!("--- {name}/{file}: composed\n{}", found.unwrap_or_default()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{}\n{} differ: review, then run with UPDATE_GOLDEN=1",
        wrong.join("\n"),
        wrong.len()
    );
}

#[test]
fn the_order_of_subgraphs_makes_no_difference() {
    for case in cases() {
        let mut subgraphs = subgraphs(&case);
        let one = compose(&subgraphs);
        subgraphs.reverse();
        assert_eq!(one, compose(&subgraphs), "{}", case.display());
    }
}

/// Each code has a case, so that no error is without one that shows its text.
#[test]
fn every_code_has_a_case() {
    let mut seen: Vec<Code> = cases()
        .iter()
        .filter_map(|case| compose(&subgraphs(case)).err())
        .flatten()
        .map(|error| error.code)
        .collect();
    // These are about names, which a file has, or about no subgraphs at all.
    seen.push(Code::InvalidSubgraphName);
    let missing: Vec<&Code> = Code::ALL.iter().filter(|code| !seen.contains(code)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}
