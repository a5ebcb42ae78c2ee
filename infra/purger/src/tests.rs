use super::*;
use std::sync::Mutex;

/// A cache that notes what it is told to drop, and takes it unless it is closed.
#[derive(Default)]
struct Noted {
    closed: bool,
    purged: Mutex<Vec<BTreeSet<Tag>>>,
}

#[async_trait]
impl Cache for Noted {
    async fn purge(&self, tags: &BTreeSet<Tag>) -> Result<(), PurgeError> {
        self.purged.lock().unwrap().push(tags.clone());
        if self.closed {
            return Err(PurgeError {
                cache: "closed".to_owned(),
                tags: tags.len(),
                reason: "closed".to_owned(),
            });
        }
        Ok(())
    }
}

fn payload(bodies: &[String]) -> Vec<u8> {
    let records = bodies.iter().enumerate();
    let records: Vec<Value> = records
        .map(|(at, body)| json!({ "messageId": at.to_string(), "eventSource": "aws:sqs", "body": body }))
        .collect();
    json!({ "Records": records }).to_string().into_bytes()
}

fn announced(tags: &[&Tag]) -> String {
    let tags: Vec<&str> = tags.iter().map(|tag| tag.as_str()).collect();
    json!({ "source": "cache.shop", "detail-type": "CacheTagsChanged", "detail": { "tags": tags } })
        .to_string()
}

#[tokio::test]
async fn a_batch_is_one_purge_of_all_that_its_tags_may_be_folded_into() {
    let cache = Arc::new(Noted::default());
    let purger = Purger::new([Arc::clone(&cache) as Arc<dyn Cache>]);
    let (one, two) = (Tag::partition("shop", "1"), Tag::partition("shop", "2"));
    let bodies = [announced(&[&one]), "nonsense".to_owned(), announced(&[&one, &two])];
    let answer = purger.handle(&payload(&bodies)).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [] }));
    let expected: BTreeSet<Tag> = one.announced().into_iter().chain(two.announced()).collect();
    assert_eq!(*cache.purged.lock().unwrap(), [expected]);
}

#[tokio::test]
async fn what_a_cache_did_not_take_comes_again_and_no_other_cache_waits_for_it() {
    let open = Arc::new(Noted::default());
    let closed = Arc::new(Noted { closed: true, ..Noted::default() });
    let purger = Purger::new([closed as Arc<dyn Cache>, Arc::clone(&open) as Arc<dyn Cache>]);
    let answer = purger.handle(&payload(&[announced(&[&Tag::partition("shop", "1")])])).await.unwrap();
    assert_eq!(answer, json!({ "batchItemFailures": [{ "itemIdentifier": "0" }] }));
    assert_eq!(open.purged.lock().unwrap().len(), 1);
}

#[tokio::test]
async fn nothing_announced_is_nothing_purged() {
    let cache = Arc::new(Noted::default());
    let purger = Purger::new([Arc::clone(&cache) as Arc<dyn Cache>]);
    purger.handle(&payload(&["{}".to_owned()])).await.unwrap();
    assert!(cache.purged.lock().unwrap().is_empty());
    assert!(purger.handle(b"no json").await.is_err());
}

#[test]
fn the_manifest_hears_what_micrographs_announce() {
    let manifest = serde_json::to_value(manifest()).unwrap();
    assert_eq!(manifest["rules"][0]["pattern"]["source"][0]["prefix"], "cache.");
    assert_eq!(manifest["rules"][0]["queue"], manifest["queues"][0]["name"]);
    assert_eq!(manifest["functions"][0]["trigger"]["queue"], manifest["queues"][0]["name"]);
    assert_eq!(manifest["tables"], json!([]));
}
