//! HTTP on the loopback: the graph, and the tools of the process.

use crate::admin;
use crate::folder::Holder;
use crate::suite::Suite;
use anyhow::Context as _;
use gateway::Gateway;
use std::future::IntoFuture as _;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A server at work.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    task: JoinHandle<std::io::Result<()>>,
    stop: watch::Sender<bool>,
    gateway: Arc<Gateway>,
}

/// Takes an address.
pub async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "port {} of {} can't be had: choose another with --listen ADDRESS:PORT",
            address.port(),
            address.ip()
        )
    })
}

impl Server {
    /// Serves the graph at `/graphql`, and the tools to who knows the holder's token.
    pub fn start(
        listener: TcpListener,
        gateway: Arc<Gateway>,
        suite: &Arc<Suite>,
        holder: &Holder,
    ) -> anyhow::Result<Self> {
        let address = listener.local_addr()?;
        let router = gateway::http::router(Arc::clone(&gateway))
            .merge(admin::router(Arc::clone(suite), holder.token.clone()));
        let ending = Arc::clone(&gateway);
        let (stop, mut stopped) = watch::channel(false);
        let stopping = async move {
            let _ = stopped.wait_for(|stop| *stop).await;
            ending.end_subscriptions();
        };
        let served = axum::serve(listener, router).with_graceful_shutdown(stopping);
        let task = tokio::spawn(served.into_future());
        Ok(Self { address, task, stop, gateway })
    }

    /// Ends subscriptions, answers what is under way, and no more.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let patience = std::time::Duration::from_secs(5);
        if tokio::time::timeout(patience, self.task).await.is_err() {
            tracing::warn!("a connection stayed open; it is cut");
        }
        self.gateway.flush().await;
    }
}
