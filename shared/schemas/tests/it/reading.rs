use crate::{production, release};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _};
use schemas::{Hash, Newer, ReadError, Schemas};
use std::sync::Arc;

#[tokio::test]
async fn a_pointer_is_read_once_and_again_only_when_it_changed() {
    let folder = tempfile::tempdir().unwrap();
    for schemas in [Schemas::in_memory(), Schemas::in_folder(folder.path()).unwrap()] {
        assert_eq!(schemas.current(&production()).await.unwrap(), None);
        assert_eq!(schemas.newer(&production(), Some("none")).await.unwrap(), Newer::None);
        let one = release(&schemas, 1, "one").await.unwrap();
        schemas.commit(&production(), &one).await.unwrap();
        let current = schemas.current(&production()).await.unwrap().unwrap();
        assert_eq!(current.release, one);
        let tag = current.tag.as_deref();
        assert!(tag.is_some());
        assert_eq!(schemas.newer(&production(), tag).await.unwrap(), Newer::Same);

        let two = release(&schemas, 2, "two").await.unwrap();
        schemas.commit(&production(), &two).await.unwrap();
        let Newer::Now(now) = schemas.newer(&production(), tag).await.unwrap() else { panic!("it changed") };
        assert_eq!(now.release, two);
        assert_eq!(schemas.schema(&two.supergraph).await.unwrap(), "type Query { two: Int }");
        assert_eq!(schemas.variants().await.unwrap(), [production()]);
    }
}

#[tokio::test]
async fn a_schema_that_is_not_what_its_hash_says_is_not_given_and_heals_when_it_comes_again() {
    let objects: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let schemas = Schemas::new(Arc::clone(&objects));
    let text = "type Query { a: Int }";
    let hash = schemas.put_schema(text).await.unwrap();
    let at = Path::from(format!("objects/{hash}.graphql"));
    for damage in ["type Query { b: Int }".as_bytes(), &[0xff, 0xfe], b""] {
        objects.put(&at, damage.to_vec().into()).await.unwrap();
        assert!(matches!(schemas.schema(&hash).await, Err(ReadError::Damaged { .. })));
        assert_eq!(schemas.put_schema(text).await.unwrap(), hash);
        assert_eq!(schemas.schema(&hash).await.unwrap(), text);
    }
    let missing = schemas.schema(&Hash::of("nobody's")).await.unwrap_err();
    assert!(matches!(missing, ReadError::Missing { .. }), "{missing}");
}

#[tokio::test]
async fn a_pointer_that_is_no_release_is_damaged_not_absent() {
    let objects: Arc<dyn ObjectStore> = Arc::new(object_store::memory::InMemory::new());
    let schemas = Schemas::new(Arc::clone(&objects));
    objects.put(&Path::from("variants/production/pointer.json"), "{}".into()).await.unwrap();
    let error = schemas.current(&production()).await.unwrap_err();
    assert!(matches!(error, ReadError::Damaged { .. }), "{error}");
    assert!(error.to_string().contains("variants/production/pointer.json"), "{error}");
}

#[tokio::test]
async fn settings_are_replaced_by_who_has_read_them() {
    let folder = tempfile::tempdir().unwrap();
    for schemas in [Schemas::in_memory(), Schemas::in_folder(folder.path()).unwrap()] {
        assert_eq!(schemas.settings::<String>().await.unwrap(), None);
        assert!(schemas.put_settings(&"one", None).await.unwrap());
        assert!(!schemas.put_settings(&"other", None).await.unwrap(), "there are some already");
        let (one, tag) = schemas.settings::<String>().await.unwrap().unwrap();
        assert_eq!(one, "one");
        assert!(schemas.put_settings(&"three", tag.as_deref()).await.unwrap());
        assert!(!schemas.put_settings(&"late", tag.as_deref()).await.unwrap(), "they changed meanwhile");
        assert_eq!(schemas.settings::<String>().await.unwrap().unwrap().0, "three");
    }
}
