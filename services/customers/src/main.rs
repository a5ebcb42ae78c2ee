//! The customers' functions on Lambda, one binary for all roles.

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    micrograph::main(customers::micrograph()).await
}
