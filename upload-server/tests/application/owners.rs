//! Whose a connection is, and its slots, as the application finds out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    extract::{FromRequestParts, OptionalFromRequestParts, State},
    http::{StatusCode, request::Parts},
};
use serde_json::json;
use upload_server::{
    AsOwner, ConnectionSlots, HandlerError, Owner, SlotOptions,
    testing::{TestClient, TestError},
};

use crate::app;

/// A database whose answers take their time.
#[derive(Clone, Default)]
struct Db {
    is_down: Arc<AtomicBool>,
}

#[derive(Clone, Debug, PartialEq)]
struct User {
    id: i64,
    is_editor: bool,
}

impl AsOwner for User {
    fn as_owner(&self) -> Option<String> {
        Some(self.id.to_string())
    }
}

impl FromRequestParts<Db> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, db: &Db) -> Result<Self, StatusCode> {
        tokio::time::sleep(Duration::from_millis(1)).await;
        if db.is_down.load(Ordering::Relaxed) {
            return Err(StatusCode::BAD_GATEWAY);
        }
        let user = parts
            .headers
            .get("x-user")
            .and_then(|user| user.to_str().ok());
        let id = user.and_then(|user| user.parse().ok());
        let id = id.ok_or(StatusCode::UNAUTHORIZED)?;
        let is_editor = id < 10;
        Ok(Self { id, is_editor })
    }
}

impl OptionalFromRequestParts<Db> for User {
    type Rejection = StatusCode;

    async fn from_request_parts(parts: &mut Parts, db: &Db) -> Result<Option<Self>, StatusCode> {
        match <Self as FromRequestParts<Db>>::from_request_parts(parts, db).await {
            Err(StatusCode::UNAUTHORIZED) => Ok(None),
            user => user.map(Some),
        }
    }
}

async fn whoami(
    Owner(user): Owner<User>,
    Owner(name): Owner,
) -> Result<(i64, String), HandlerError> {
    Ok((user.id, name))
}

fn of(client: &TestClient, user: &str) -> TestClient {
    client.another().header("x-user", user)
}

#[tokio::test]
async fn an_owner_is_the_applications_own_type() {
    let db = Db::default();
    let app = app(|builder| {
        builder
            .with_state(db.clone())
            .owner_from::<User>()
            .handle_event("whoami", whoami)
    });
    let me = of(&app.client, "7").event("whoami", json!({})).await;
    assert_eq!(me.expect("known"), json!([7, "7"]));
    // CONN-2: the application says that there is no owner.
    let stranger = app.client.another().event("whoami", json!({})).await;
    assert!(
        matches!(stranger, Err(TestError::Closed(4401))),
        "{stranger:?}"
    );
    let session = app.client.get("/uploads/session").await.expect("an answer");
    assert_eq!(session.status, StatusCode::UNAUTHORIZED);
    // It cannot say: that makes no user a stranger.
    db.is_down.store(true, Ordering::Relaxed);
    let session = of(&app.client, "7").get("/uploads/session").await;
    assert_eq!(session.expect("an answer").status, StatusCode::BAD_GATEWAY);
    let down = of(&app.client, "7").event("whoami", json!({})).await;
    assert!(matches!(down, Err(TestError::Broken(_))), "{down:?}");
}

#[tokio::test]
async fn without_a_user_it_is_left_to_the_cookie() {
    async fn name(Owner(name): Owner) -> Result<String, HandlerError> {
        Ok(name)
    }

    let app = app(|builder| {
        builder
            .with_state(Db::default())
            .owner_from::<Option<User>>()
            .handle_event("name", name)
    });
    let named = of(&app.client, "7").event("name", json!({})).await;
    assert_eq!(named.expect("known"), "7");
    let visitor = app.client.another().event("name", json!({})).await;
    let visitor = visitor.expect("a visitor");
    assert!(visitor.as_str().expect("a name").starts_with("session:"));
}

async fn slots(
    State(db): State<Db>,
    Owner(user): Owner<User>,
    mut slots: ConnectionSlots,
) -> Result<ConnectionSlots, StatusCode> {
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert!(!db.is_down.load(Ordering::Relaxed));
    if user.id == 13 {
        return Err(StatusCode::PAYMENT_REQUIRED);
    }
    if user.is_editor {
        let press = SlotOptions::new().accept(".pdf");
        slots
            .allow_upload("press", press)
            .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    } else {
        slots.remove_upload("notes");
    }
    Ok(slots)
}

#[tokio::test]
async fn slots_are_decided_by_a_handler_that_may_wait_and_fail() {
    let app = app(|builder| {
        builder
            .with_state(Db::default())
            .owner_from::<User>()
            .mount_from(slots)
    });
    let mut editor = of(&app.client, "7");
    editor
        .upload("press", "a.pdf", "%PDF-1.7\n")
        .await
        .expect("an editor's slot");
    editor
        .upload("notes", "a.txt", "text")
        .await
        .expect("a slot of all");
    let mut reader = of(&app.client, "70");
    for (slot, file) in [("press", "a.pdf"), ("notes", "a.txt")] {
        let refused = reader
            .upload(slot, file, "text")
            .await
            .expect_err("no such slot");
        assert_eq!(refused.code(), Some("unknown_slot"), "{slot}");
    }
    // Its error is the answer to the handshake.
    let refused = of(&app.client, "13").upload("notes", "a.txt", "text").await;
    let Err(TestError::Broken(text)) = refused else {
        panic!("no connection, and not {refused:?}");
    };
    assert!(text.contains("402"), "{text}");
}
