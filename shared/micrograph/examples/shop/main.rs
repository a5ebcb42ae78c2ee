//! The binary of a micrograph: one build, deployed as several functions.

mod catalogue;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micrograph::main(catalogue::catalogue()).await
}
