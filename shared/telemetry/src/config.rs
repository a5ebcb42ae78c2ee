//! What is turned on, and where it goes.

/// Everything [`init`](crate::init) needs to know.
///
/// [`Config::from_env`] reads it from the environment; [`Config::quiet`] has everything off.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The deployable's name: `service.name` of spans, `service` of log lines.
    pub service: String,
    /// The region it runs in, a dimension of every metric.
    pub region: String,
    /// The form of log lines.
    pub log: LogFormat,
    /// What is logged, as directives of `tracing_subscriber::EnvFilter` (`info`, `warn,projection=debug`, `off`).
    pub level: String,
    /// Whether and where spans are exported.
    pub traces: Traces,
    /// Whether and how metrics are written.
    pub metrics: Metrics,
    /// Settings that could not be read and were replaced by their default; logged once by `init`.
    pub warnings: Vec<String>,
}

/// The form of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line on stdout: what CloudWatch Logs Insights reads.
    Json,
    /// For people, on stderr.
    Pretty,
}

/// Whether and where spans are exported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Traces {
    /// No span is recorded.
    Off,
    /// Spans are sent over OTLP (http/protobuf). Needs the cargo feature `otlp`; without it this acts as `Off`.
    Otlp {
        /// The collector's base address, such as `http://localhost:4318`; `/v1/traces` is appended.
        endpoint: String,
    },
}

/// Whether and how metrics are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nothing is measured.
    Off,
    /// CloudWatch's embedded metric format on stdout.
    Emf {
        /// The CloudWatch namespace, 1 to 255 characters.
        namespace: String,
        /// Further dimensions of every metric, such as the stage; at most 20.
        dimensions: Vec<(String, String)>,
    },
}

/// The namespace of metrics unless another is configured.
const NAMESPACE: &str = "Tributary";

/// Where an OpenTelemetry collector listens by default (OTLP over HTTP).
const COLLECTOR: &str = "http://localhost:4318";

impl Config {
    /// Everything off: no line, no metric, no span.
    pub fn quiet(service: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            region: "local".to_owned(),
            log: LogFormat::Pretty,
            level: "off".to_owned(),
            traces: Traces::Off,
            metrics: Metrics::Off,
            warnings: Vec::new(),
        }
    }

    /// Reads the environment. Nothing is fatal: a setting that can't be read gets its default and a warning.
    ///
    /// | variable | meaning | default |
    /// |---|---|---|
    /// | `OTEL_SERVICE_NAME`, else `AWS_LAMBDA_FUNCTION_NAME` | service name | `tributary` |
    /// | `AWS_REGION` | region | `local` |
    /// | `TRIBUTARY_LOG_FORMAT` | `json` or `pretty` | `json` on Lambda, else `pretty` |
    /// | `TRIBUTARY_LOG`, else `RUST_LOG` | directives of what is logged | `info` |
    /// | `TRIBUTARY_METRICS` | `on` or `off` | `on` on Lambda, else `off` |
    /// | `TRIBUTARY_METRICS_NAMESPACE` | CloudWatch namespace | `Tributary` |
    /// | `TRIBUTARY_METRICS_DIMENSIONS` | further dimensions, `Stage=prod,Team=orders` | none |
    /// | `TRIBUTARY_TRACES`, `OTEL_SDK_DISABLED` | `on` or `off`; `true` | on where an endpoint is set |
    /// | `OTEL_EXPORTER_OTLP_ENDPOINT` | the collector's address | `http://localhost:4318` |
    pub fn from_env() -> Self {
        Self::from_vars(|name| std::env::var(name).ok())
    }

    /// As [`Config::from_env`], with the variables given by `var`.
    pub fn from_vars(var: impl Fn(&str) -> Option<String>) -> Self {
        let var =
            |name: &str| var(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let mut warnings = Vec::new();
        let function = var("AWS_LAMBDA_FUNCTION_NAME");
        let on_lambda = function.is_some();

        let log = match var("TRIBUTARY_LOG_FORMAT").as_deref() {
            Some("json") => LogFormat::Json,
            Some("pretty") => LogFormat::Pretty,
            other => {
                if let Some(other) = other {
                    warnings.push(format!("TRIBUTARY_LOG_FORMAT is {other:?}; use `json` or `pretty`"));
                }
                if on_lambda { LogFormat::Json } else { LogFormat::Pretty }
            }
        };
        let mut switch = |name: &str, default: bool| match var(name).as_deref() {
            Some("on" | "true" | "1") => true,
            Some("off" | "false" | "0") => false,
            Some(other) => {
                warnings.push(format!("{name} is {other:?}; use `on` or `off`"));
                default
            }
            None => default,
        };

        let endpoint = var("OTEL_EXPORTER_OTLP_ENDPOINT");
        let traces_on = switch("TRIBUTARY_TRACES", endpoint.is_some()) && !switch("OTEL_SDK_DISABLED", false);
        let metrics_on = switch("TRIBUTARY_METRICS", on_lambda);
        let dimensions = var("TRIBUTARY_METRICS_DIMENSIONS").map_or_else(Vec::new, |list| {
            let (dimensions, bad) = pairs(&list);
            warnings.extend(bad.into_iter().map(|pair| {
                format!("TRIBUTARY_METRICS_DIMENSIONS has {pair:?}; use `Name=value,Name=value`")
            }));
            dimensions
        });

        Self {
            service: var("OTEL_SERVICE_NAME").or(function).unwrap_or_else(|| "tributary".to_owned()),
            region: var("AWS_REGION").unwrap_or_else(|| "local".to_owned()),
            log,
            level: var("TRIBUTARY_LOG").or_else(|| var("RUST_LOG")).unwrap_or_else(|| "info".to_owned()),
            traces: if traces_on {
                Traces::Otlp { endpoint: endpoint.unwrap_or_else(|| COLLECTOR.to_owned()) }
            } else {
                Traces::Off
            },
            metrics: if metrics_on {
                let namespace = var("TRIBUTARY_METRICS_NAMESPACE").unwrap_or_else(|| NAMESPACE.to_owned());
                Metrics::Emf { namespace, dimensions }
            } else {
                Metrics::Off
            },
            warnings,
        }
    }
}

/// `a=1,b=2` as pairs, and what is no pair.
fn pairs(list: &str) -> (Vec<(String, String)>, Vec<String>) {
    let mut good = Vec::new();
    let mut bad = Vec::new();
    for pair in list.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        match pair.split_once('=') {
            Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
                good.push((name.trim().to_owned(), value.trim().to_owned()));
            }
            _ => bad.push(pair.to_owned()),
        }
    }
    (good, bad)
}

#[cfg(test)]
mod tests {
    use super::{Config, LogFormat, Metrics, Traces};

    fn config(vars: &[(&str, &str)]) -> Config {
        Config::from_vars(|name| {
            vars.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn a_workstation_logs_for_people_and_nothing_else() {
        let config = config(&[]);
        assert_eq!((config.log, config.level.as_str()), (LogFormat::Pretty, "info"));
        assert_eq!((config.traces, config.metrics), (Traces::Off, Metrics::Off));
        assert!(config.warnings.is_empty());
    }

    #[test]
    fn a_function_logs_json_and_measures() {
        let config = config(&[
            ("AWS_LAMBDA_FUNCTION_NAME", "orders-consumer"),
            ("AWS_REGION", "eu-west-1"),
            ("TRIBUTARY_METRICS_DIMENSIONS", "Stage=prod, Team=orders"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318"),
        ]);
        assert_eq!((config.service.as_str(), config.region.as_str()), ("orders-consumer", "eu-west-1"));
        assert_eq!(config.log, LogFormat::Json);
        assert_eq!(config.traces, Traces::Otlp { endpoint: "http://127.0.0.1:4318".to_owned() });
        let dimensions =
            vec![("Stage".to_owned(), "prod".to_owned()), ("Team".to_owned(), "orders".to_owned())];
        assert_eq!(config.metrics, Metrics::Emf { namespace: "Tributary".to_owned(), dimensions });
    }

    #[test]
    fn traces_can_be_turned_off_beside_an_endpoint() {
        let endpoint = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert_eq!(config(&[endpoint, ("TRIBUTARY_TRACES", "off")]).traces, Traces::Off);
        assert_eq!(config(&[endpoint, ("OTEL_SDK_DISABLED", "true")]).traces, Traces::Off);
    }

    #[test]
    fn what_can_not_be_read_is_a_warning_and_a_default() {
        let config = config(&[
            ("TRIBUTARY_LOG_FORMAT", "xml"),
            ("TRIBUTARY_METRICS", "perhaps"),
            ("TRIBUTARY_METRICS_DIMENSIONS", "Stage"),
        ]);
        assert_eq!((config.log, config.metrics), (LogFormat::Pretty, Metrics::Off));
        assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
    }

    #[test]
    fn tributary_log_goes_before_rust_log() {
        assert_eq!(config(&[("RUST_LOG", "debug")]).level, "debug");
        assert_eq!(config(&[("RUST_LOG", "debug"), ("TRIBUTARY_LOG", "warn")]).level, "warn");
    }
}
