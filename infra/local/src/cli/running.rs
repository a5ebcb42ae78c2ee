//! The suite at work behind its server, in one region or in several.

use super::{CACHE, Options, SAMPLE_QUERIES};
use crate::deployed;
use crate::folder::{Folder, Holder};
use crate::purging;
use crate::regions::{self, Regions};
use crate::server::{self, Server};
use crate::suite::{self, Suite};
use gateway::{CacheSizes, Graphiql};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::net::TcpListener;

/// The suite at work behind its server; of several regions, the first one.
pub(super) struct Running {
    pub folder: Option<Folder>,
    pub suite: Arc<Suite>,
    pub server: Server,
    pub others: Vec<Other>,
    /// The folders of the regions within the state's: no other process may have one.
    parts: Vec<Folder>,
}

/// Another region.
pub(super) struct Other {
    pub region: &'static str,
    suite: Arc<Suite>,
    pub server: Server,
}

impl Running {
    pub async fn start(options: &Options, importing: bool) -> anyhow::Result<Self> {
        let mut folder = options.folder(importing).map(|path| Folder::take(&path)).transpose()?;
        let listener = server::bind(options.listen).await?;
        let address = listener.local_addr()?;
        let token = telemetry::TraceParent::random().trace_id_hex();
        let holder = Holder { pid: std::process::id(), address: Some(address), token };
        if let Some(folder) = &mut folder {
            folder.announce(&holder)?;
        }
        if let Some(folder) = &folder {
            folder.settle(options.regions)?;
        }
        if options.regions > 1 {
            return Self::start_regions(options, folder, listener, &holder).await;
        }
        let suite = Arc::new(Suite::start(folder.as_ref(), options.settings()?).await?);
        let server =
            serve_graph(options, listener, &suite, &holder, "Tributary".to_owned(), folder.as_ref())?;
        Ok(Self { folder, suite, server, others: Vec::new(), parts: Vec::new() })
    }

    async fn start_regions(
        options: &Options,
        folder: Option<Folder>,
        listener: TcpListener,
        holder: &Holder,
    ) -> anyhow::Result<Self> {
        let count = usize::from(options.regions);
        let first = listener.local_addr()?;
        let mut listeners = vec![listener];
        for port in (1..options.regions).map(|number| first.port().saturating_add(number)) {
            listeners.push(server::bind(SocketAddr::new(first.ip(), port)).await?);
        }
        let mut folders = Vec::with_capacity(count);
        let mut holders = Vec::with_capacity(count);
        for (region, listener) in regions::NAMES.iter().zip(&listeners) {
            let holder = Holder { address: Some(listener.local_addr()?), ..holder.clone() };
            let mut own = folder.as_ref().map(|it| Folder::take(&it.file(region))).transpose()?;
            if let Some(own) = &mut own {
                own.announce(&holder)?;
            }
            folders.push(own);
            holders.push(holder);
        }
        let of_regions: Vec<Option<&Folder>> = folders.iter().map(Option::as_ref).collect();
        let Regions { suites } = Regions::start(&of_regions, &options.settings()?).await?;
        let mut others = Vec::with_capacity(count);
        let of_regions = regions::NAMES.iter().zip(suites).zip(listeners.into_iter().zip(&holders));
        for ((region, suite), (listener, holder)) in of_regions {
            let server = serve_graph(
                options,
                listener,
                &suite,
                holder,
                format!("Tributary in {region}"),
                folder.as_ref(),
            )?;
            others.push(Other { region, suite, server });
        }
        let Other { suite, server, .. } = others.remove(0);
        let parts = folders.into_iter().flatten().collect();
        Ok(Self { folder, suite, server, others, parts })
    }

    pub async fn drained(&self) -> anyhow::Result<()> {
        let others = self.others.iter().map(|other| &*other.suite);
        let suites: Vec<&Suite> = std::iter::once(&*self.suite).chain(others).collect();
        suite::drained(&suites).await
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        let mut suites = vec![self.suite];
        self.server.stop().await;
        for other in self.others {
            other.server.stop().await;
            suites.push(other.suite);
        }
        for suite in suites {
            // The server's routes hold the suite; they are gone with it.
            if let Ok(suite) = Arc::try_unwrap(suite) {
                suite.stop().await;
            } else {
                tracing::warn!("a request is still under way; what it wrote is stored");
            }
        }
        drop((self.folder, self.parts));
        Ok(())
    }
}

fn serve_graph(
    options: &Options,
    listener: TcpListener,
    suite: &Arc<Suite>,
    holder: &Holder,
    title: String,
    folder: Option<&Folder>,
) -> anyhow::Result<Server> {
    let queries = SAMPLE_QUERIES.iter().map(|(what, query)| format!("# {what}\n{query}\n")).collect();
    let graphiql = Graphiql { title, queries };
    let cache = CacheSizes { answers: options.cache.then_some(CACHE), subgraphs: None };
    let usage = folder.map(deployed::usage).transpose()?;
    let config = gateway::Config { graphiql: Some(graphiql), cache, usage, ..gateway::Config::default() };
    let gateway = Arc::new(suite.gateway(config)?);
    if options.is_cached() {
        purging::start(suite, options.purger(&gateway)?, !options.purge.is_empty())?;
    }
    Server::start(listener, gateway, suite, holder)
}
