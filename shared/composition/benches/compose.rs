//! How long composing takes: `cargo bench -p composition --bench compose`.
//!
//! Each subgraph has an entity of its own, extends those of two others, shares a value type with all, and has a query
//! and a mutation; so types, fields and ways between subgraphs grow with their number.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use composition::{Subgraph, compose};

fn subgraph(index: usize, of: usize) -> Subgraph {
    let mut sdl = String::from(
        "extend schema @link(url: \"https://specs.apollo.dev/federation/v2.9\", import: [\"@key\", \"@shareable\", \"@external\", \"@requires\", \"@tag\"])\n",
    );
    let (next, after) = ((index + 1) % of, (index + 2) % of);
    let _ = write!(
        sdl,
        r#"
type Query {{ entity{index}(id: ID!): Entity{index} list{index}(first: Int = 20): [Entity{index}!]! }}
type Mutation {{ change{index}(input: Change{index}!): Entity{index} }}
input Change{index} {{ id: ID! name: String kind: Kind }}
enum Kind {{ PLAIN FANCY }}
scalar Date
interface Named {{ name: String }}
type Money @shareable {{ amount: String! currency: String! }}
type Entity{index} implements Named @key(fields: "id") @key(fields: "code") {{
  id: ID! code: String! name: String @tag(name: "public") price: Money created: Date
  other: Entity{next} more: [Entity{after}!]
  a: Int b: Int c: Int d: Int e: String f: String g: String h: String
}}
type Entity{next} @key(fields: "id") {{ id: ID! name: String @external from{index}: String @requires(fields: "name") }}
"#
    );
    if after != index {
        let _ = writeln!(sdl, "type Entity{after} @key(fields: \"id\") {{ id: ID! second{index}: Money }}");
    }
    Subgraph { name: format!("subgraph-{index:03}"), url: String::new(), sdl }
}

fn main() {
    for of in [3, 26, 260] {
        let subgraphs: Vec<Subgraph> = (0..of).map(|index| subgraph(index, of)).collect();
        let bytes: usize = subgraphs.iter().map(|subgraph| subgraph.sdl.len()).sum();
        let composed = match compose(&subgraphs) {
            Ok(composed) => composed,
            Err(errors) => panic!("{}", composition::render_errors(&errors, &subgraphs)),
        };
        let mut times: Vec<Duration> = Vec::new();
        #[expect(clippy::disallowed_methods, reason = "a bench measures time")]
        while times.len() < 5 || times.iter().sum::<Duration>() < Duration::from_secs(2) {
            let start = Instant::now();
            std::hint::black_box(compose(std::hint::black_box(&subgraphs)).is_ok());
            times.push(start.elapsed());
        }
        times.sort();
        println!(
            "{of:>4} subgraphs, {:>4} KB in, {:>4} KB out: median {:?}, best {:?}, {} runs",
            bytes / 1000,
            composed.supergraph.len() / 1000,
            times[times.len() / 2],
            times[0],
            times.len()
        );
    }
}
