//! What a team tries by hand: changes that break, and their harmless twins.

use crate::{CATALOGUE, PRICING, line, live, production, submission};
use registry::settings::Level;
use registry::{Finding, Registry, RegistryError, Report, Severity, Submission, Topic};
use schemas::{Schemas, Tags};

const ASKS_AUTHOR: (&str, &str) =
    ("web/7.2", "query Book($sku: ID!) { product(sku: $sku) { title author } }");

async fn checked(registry: &Registry, name: &str, sdl: &str) -> Report {
    registry.check(&production(), &submission(&[(name, sdl)])).await.unwrap()
}

fn find<'a>(report: &'a Report, rule: &str) -> &'a Finding {
    report
        .findings
        .iter()
        .find(|it| it.rule == rule)
        .unwrap_or_else(|| panic!("no {rule} in {:#?}", report.findings))
}

#[tokio::test]
async fn a_removed_field_that_an_operation_uses_fails_and_says_who_is_hit() {
    let registry = live(&[ASKS_AUTHOR, ("app/3", "{ products { sku title } }")]).await;
    let without = CATALOGUE.replace("  \"Who wrote it.\"\n  author: String\n", "");
    let report = checked(&registry, "catalogue", &without).await;
    assert!(!report.passed());
    let finding = find(&report, "field-removed");
    assert_eq!((finding.severity, finding.path.as_str()), (Severity::Error, "Product.author"));
    assert_eq!(finding.hit.len(), 1, "{:?}", finding.hit);
    let hit = &finding.hit[0];
    assert_eq!((hit.client.name.as_str(), hit.client.version.as_str()), ("web", "7.2"));
    assert_eq!((hit.operation.as_str(), hit.count, hit.by_variable), ("Book", 3, false));
    assert!(finding.help.contains("@deprecated"), "{}", finding.help);
    let at = without.lines().position(|line| line.starts_with("type Product")).unwrap() + 1;
    assert_eq!((finding.locations[0].subgraph.as_str(), finding.locations[0].line), ("catalogue", at));
    assert_eq!(report.operations, 2);

    // The twin: it is deprecated first.
    let deprecated =
        CATALOGUE.replace("author: String", "author: String @deprecated(reason: \"Use title instead.\")");
    let report = checked(&registry, "catalogue", &deprecated).await;
    assert!(report.passed(), "{:#?}", report.findings);
    assert_eq!(find(&report, "deprecated").severity, Severity::Info);
}

#[tokio::test]
async fn a_removed_field_that_no_operation_uses_passes_with_a_warning() {
    let registry = live(&[("app/3", "{ products { sku title } }")]).await;
    let without = CATALOGUE.replace("  \"Who wrote it.\"\n  author: String\n", "");
    let report = checked(&registry, "catalogue", &without).await;
    let finding = find(&report, "field-removed");
    assert_eq!((finding.severity, finding.topic), (Severity::Warning, Topic::Breaking));
    assert_eq!(finding.help, "No operation of production in the last 30 days uses it.");
    assert!(report.passed());
}

#[tokio::test]
async fn where_no_usage_is_known_every_breaking_change_counts_until_it_is_accepted() {
    let registry = live(&[]).await;
    let without = CATALOGUE.replace("  \"Who wrote it.\"\n  author: String\n", "");
    let report = checked(&registry, "catalogue", &without).await;
    assert!(!report.passed());
    assert!(find(&report, "no-usage").help.contains("accept"), "{report:#?}");
    for accept in ["all", "Product.author", "field-removed Product.author"] {
        let submission = Submission {
            accept: [accept.to_owned()].into(),
            ..submission(&[("catalogue", without.as_str())])
        };
        let report = registry.check(&production(), &submission).await.unwrap();
        assert!(report.passed(), "{accept}");
        assert!(find(&report, "field-removed").accepted);
    }
    let other = Submission {
        accept: ["Product.title".to_owned()].into(),
        ..submission(&[("catalogue", without.as_str())])
    };
    assert!(!registry.check(&production(), &other).await.unwrap().passed());
}

#[tokio::test]
async fn what_was_accepted_stands_in_the_history() {
    let registry = live(&[ASKS_AUTHOR]).await;
    let without = CATALOGUE.replace("  \"Who wrote it.\"\n  author: String\n", "");
    let refused =
        registry.publish(&production(), &submission(&[("catalogue", without.as_str())]), "team").await;
    assert!(matches!(refused, Err(RegistryError::Refused(_))), "{refused:?}");
    let accepting =
        Submission { accept: ["all".to_owned()].into(), ..submission(&[("catalogue", without.as_str())]) };
    let published = registry.publish(&production(), &accepting, "team").await.unwrap();
    let deed = serde_json::to_value(&published.release.deed).unwrap();
    assert_eq!(deed["accepted"], serde_json::json!(["field-removed Product.author"]));
    assert_eq!(published.release.version, 2);
}

#[tokio::test]
async fn a_changed_key_is_told_with_who_refers_by_it() {
    let registry = live(&[ASKS_AUTHOR]).await;
    let by_id = CATALOGUE
        .replace("@key(fields: \"sku\")", "@key(fields: \"id\")")
        .replace("  \"What it is called.\"", "  \"Another identity.\"\n  id: ID!\n  \"What it is called.\"");
    let report = checked(&registry, "catalogue", &by_id).await;
    let finding = find(&report, "key-removed");
    assert_eq!((finding.severity, finding.path.as_str()), (Severity::Error, "Product"));
    assert!(finding.message.contains("pricing refers to it by this key"), "{}", finding.message);
    assert_eq!(finding.locations[0].subgraph, "catalogue");

    // The twin: another key beside it.
    let both = by_id.replace("@key(fields: \"id\")", "@key(fields: \"id\") @key(fields: \"sku\")");
    let report = checked(&registry, "catalogue", &both).await;
    assert!(report.passed(), "{:#?}", report.findings);
    assert!(!report.findings.iter().any(|it| it.rule == "key-removed"), "{:#?}", report.findings);
}

#[tokio::test]
async fn two_owners_of_a_field_do_not_compose_and_two_that_share_it_do() {
    let registry = live(&[ASKS_AUTHOR]).await;
    let both = PRICING.replace(
        "  \"What it costs, in cents.\"",
        "  \"Title.\"\n  title: String!\n  \"What it costs, in cents.\"",
    );
    let report = checked(&registry, "pricing", &both).await;
    let finding = report.findings.iter().find(|it| it.topic == Topic::Composition).unwrap();
    assert_eq!(finding.severity, Severity::Error);
    assert!(finding.message.contains("Product.title"), "{}", finding.message);
    let refused = registry.publish(&production(), &submission(&[("pricing", both.as_str())]), "team").await;
    assert!(matches!(refused, Err(RegistryError::Refused(_))), "{refused:?}");

    let shared = both.replace("title: String!", "title: String! @shareable");
    let catalogue = CATALOGUE.replace("title: String!", "title: String! @shareable");
    let report = registry
        .check(&production(), &submission(&[("pricing", shared.as_str()), ("catalogue", catalogue.as_str())]))
        .await
        .unwrap();
    assert!(report.passed(), "{:#?}", report.findings);
}

#[tokio::test]
async fn a_schema_that_does_not_parse_is_told_with_its_line() {
    let registry = live(&[]).await;
    let report = checked(&registry, "catalogue", "type Query {\n  a: \n}\n").await;
    assert!(!report.passed());
    let finding = &report.findings[0];
    assert_eq!((finding.rule.as_str(), finding.topic), ("INVALID_GRAPHQL", Topic::Composition));
    assert_eq!(registry.history(&production(), None, 10).await.unwrap().len(), 1, "nothing was published");
}

#[tokio::test]
async fn a_lint_is_told_once_and_at_the_level_of_the_settings() {
    let registry = live(&[ASKS_AUTHOR]).await;
    let undescribed = CATALOGUE.replace("\"Who wrote it.\"", "");
    let report = checked(&registry, "catalogue", &undescribed).await;
    let finding = find(&report, "description-field");
    assert_eq!((finding.severity, finding.path.as_str()), (Severity::Warning, "Product.author"));
    assert_eq!(
        finding.locations[0].line,
        undescribed.lines().position(|it| it.contains("author")).unwrap() + 1
    );
    assert!(report.passed());

    registry
        .change_settings(|it| _ = it.lints.insert("description-field".to_owned(), Level::Error))
        .await
        .unwrap();
    assert!(!checked(&registry, "catalogue", &undescribed).await.passed());
    registry
        .change_settings(|it| _ = it.lints.insert("description-field".to_owned(), Level::Off))
        .await
        .unwrap();
    let report = checked(&registry, "catalogue", &undescribed).await;
    assert!(!report.findings.iter().any(|it| it.topic == Topic::Lint), "{:#?}", report.findings);

    // What stands isn't told again.
    registry.change_settings(|it| it.lints.clear()).await.unwrap();
    registry
        .publish(&production(), &submission(&[("catalogue", undescribed.as_str())]), "team")
        .await
        .unwrap();
    let report =
        checked(&registry, "catalogue", &undescribed.replace("first: Int", "last: Int, first: Int")).await;
    assert!(!report.findings.iter().any(|it| it.topic == Topic::Lint), "{:#?}", report.findings);
    assert_eq!(report.standing, 1);

    let unknown = registry.change_settings(|it| _ = it.lints.insert("nonsense".to_owned(), Level::Off)).await;
    assert!(unknown.unwrap_err().to_string().contains("settings"));
}

#[tokio::test]
async fn a_contract_hides_what_is_tagged_and_says_whom_more_hiding_hits() {
    let registry = live(&[ASKS_AUTHOR]).await;
    let public = "public".parse().unwrap();
    let tags = Tags { exclude: ["internal".to_owned()].into(), ..Tags::default() };
    let set = registry.contract(&production(), &public, Some(&tags), "owner", "for partners").await.unwrap();
    assert_eq!(set.release.version, 2);
    let api = registry.api(&production(), None, Some(&public)).await.unwrap();
    assert!(api.contains("cents: Int") && !api.contains("cost: Int"), "{api}");
    assert!(registry.api(&production(), None, None).await.unwrap().contains("cost: Int"));

    // A client of the contract asks for what is to become internal.
    let mut asked = line("partner/1", "query Deals { bargains { cents } }", 9);
    asked.contract = Some(public.clone());
    registry.schemas().record_usage(&production(), &[asked]).await.unwrap();
    let hidden = PRICING.replace("cents: Int!", "cents: Int! @tag(name: \"internal\")");
    let report = checked(&registry, "pricing", &hidden).await;
    let finding = find(&report, "field-removed");
    assert_eq!((finding.contract.as_deref(), finding.path.as_str()), (Some("public"), "Product.cents"));
    assert_eq!(finding.hit[0].client.name, "partner");
    assert!(!report.passed());

    // A type that is out while a field of it is in.
    let torn = PRICING
        .replace(
            "\"What pricing answers.\"",
            "\"A secret.\" type Secret @tag(name: \"internal\") { \"s\" s: Int }\n\"What pricing answers.\"",
        )
        .replace(
            "  \"Products whose price fell.\"",
            "  \"S.\"\n  secret: Secret\n  \"Products whose price fell.\"",
        );
    let report = checked(&registry, "pricing", &torn).await;
    assert_eq!(find(&report, "contract-reference").path, "Query.secret");

    registry.contract(&production(), &public, None, "owner", "").await.unwrap();
    let gone = registry.supergraph(&production(), None, Some(&public)).await.unwrap_err();
    assert!(matches!(gone, RegistryError::NoContract { .. }), "{gone}");
}

#[tokio::test]
async fn usage_of_production_counts_for_a_branch_that_has_none() {
    let registry = live(&[ASKS_AUTHOR]).await;
    let branch = "feature-1".parse().unwrap();
    let without = CATALOGUE.replace("  \"Who wrote it.\"\n  author: String\n", "");
    let from = Submission { from: Some(production()), ..submission(&[("catalogue", without.as_str())]) };
    let report = registry.check(&branch, &from).await.unwrap();
    assert_eq!(find(&report, "field-removed").hit.len(), 1);
    assert!(!report.passed());

    let harmless = Submission { from: Some(production()), ..submission(&[("catalogue", CATALOGUE)]) };
    let published = registry.publish(&branch, &harmless, "team").await.unwrap();
    assert_eq!((published.release.version, published.release.subgraphs.len()), (1, 2));
}

#[tokio::test]
async fn clients_that_do_not_count_and_operations_that_are_rare_hit_nothing() {
    let registry = live(&[ASKS_AUTHOR, ("app", "{ products { sku } }")]).await;
    let without = CATALOGUE.replace("  \"Who wrote it.\"\n  author: String\n", "");
    registry.change_settings(|it| _ = it.usage.ignored_clients.insert("web".to_owned())).await.unwrap();
    assert!(checked(&registry, "catalogue", &without).await.passed());
    registry.change_settings(|it| it.usage = registry::settings::UsageSettings::default()).await.unwrap();
    assert!(!checked(&registry, "catalogue", &without).await.passed());
    registry.change_settings(|it| it.usage.least = 4).await.unwrap();
    assert!(checked(&registry, "catalogue", &without).await.passed());
}

#[tokio::test]
async fn the_first_publish_of_a_variant_needs_no_usage() {
    let registry = Registry::new(Schemas::in_memory(), crate::now);
    let report = checked(&registry, "catalogue", CATALOGUE).await;
    assert!(report.passed(), "{:#?}", report.findings);
    let removed =
        Submission { remove: ["nobody".to_owned()].into(), ..submission(&[("catalogue", CATALOGUE)]) };
    let report = registry.check(&production(), &removed).await.unwrap();
    assert_eq!(find(&report, "unknown-subgraph").severity, Severity::Error);
}
