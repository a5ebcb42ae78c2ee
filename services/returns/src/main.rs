//! The returns' functions on Lambda, one binary for all roles.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micrograph::main(returns::micrograph()).await
}
