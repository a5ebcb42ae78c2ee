//! The inventory's functions on Lambda, one binary for all roles.

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    micrograph::main(inventory::micrograph()).await
}
