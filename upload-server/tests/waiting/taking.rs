//! Taken once, over any connection of the owner or over none.

use std::sync::atomic::Ordering;

use serde_json::json;
use uuid::Uuid;

use crate::world::{ALICE, BOB, World, as_ref, bytes, fire, upload};

/// CTRL-6: the trial of the issue: the line is lost between "Done" and *Save*.
#[tokio::test]
async fn ctrl_6_a_reconnect_between_done_and_save_loses_nothing() {
    let world = World::start().await;
    let file = bytes(20_000);
    for slot in ["one", "many"] {
        let mut first = world.client(ALICE).await;
        let avatar = upload(&mut first, slot, "me.txt", &file).await;
        drop(first);
        let mut second = world.client(ALICE).await;
        let saved = fire(&mut second, "save", Some(&[avatar])).await;
        assert_eq!(saved["result"], json!({ "saved": ["me.txt"] }), "{saved}");
        assert_eq!(world.saved("me.txt").as_deref(), Some(&*file));
        // A double click, or a lost answer: the page hears what became of it.
        let again = fire(&mut second, "save", Some(&[avatar])).await;
        assert_eq!(again["result"], json!({ "saved": [] }));
        assert_eq!(again["taken"], json!([avatar.to_string()]));
    }
    assert!(
        world
            .uploads
            .list("alice")
            .await
            .expect("listed")
            .is_empty()
    );
}

/// CTRL-6: an ordinary HTTP handler finds what the socket uploaded, after the socket is gone.
#[tokio::test]
async fn ctrl_6_an_http_handler_takes_what_a_form_names() {
    let world = World::start().await;
    let file = bytes(12_345);
    let mut client = world.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", &file).await;
    client.close(1000).await;
    let listed = world.uploads.list("alice").await.expect("listed");
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].upload_ref(), as_ref(avatar));
    assert!(!listed[0].is_lent());
    assert_eq!(world.post(BOB, avatar).await, 404, "it is another's");
    assert_eq!(world.post(ALICE, Uuid::new_v4()).await, 404);
    assert_eq!(world.post(ALICE, avatar).await, 204);
    assert_eq!(world.saved("me.txt").as_deref(), Some(&*file));
    assert_eq!(world.files("one"), 0, "it was moved");
    assert_eq!(world.post(ALICE, avatar).await, 410);
    let mut client = world.client(ALICE).await;
    let result = fire(&mut client, "save", Some(&[avatar])).await;
    assert_eq!(result["taken"], json!([avatar.to_string()]));
}

/// CTRL-6: without a list, an event is offered what its own connection uploaded.
#[tokio::test]
async fn ctrl_6_a_page_without_a_list_has_its_own() {
    let world = World::start().await;
    let (mut one, mut other) = (world.client(ALICE).await, world.client(ALICE).await);
    upload(&mut one, "many", "a.txt", b"aaaa").await;
    upload(&mut one, "many", "b.txt", b"bbbb").await;
    let none = fire(&mut other, "save", None).await;
    assert_eq!(none["result"], json!({ "saved": [] }));
    let none = fire(&mut one, "save", Some(&[])).await;
    assert_eq!(
        none["result"],
        json!({ "saved": [] }),
        "an empty list offers nothing"
    );
    let both = fire(&mut one, "save", None).await;
    assert_eq!(both["result"], json!({ "saved": ["a.txt", "b.txt"] }));
    let none = fire(&mut one, "save", None).await;
    assert_eq!(none["result"], json!({ "saved": [] }));
    assert_eq!(none.get("taken"), None);
}

/// CTRL-6: only its owner finds it, and hears what is not known.
#[tokio::test]
async fn ctrl_6_another_owner_finds_nothing() {
    let world = World::start().await;
    let mut alice = world.client(ALICE).await;
    let avatar = upload(&mut alice, "one", "me.txt", b"mine").await;
    let mut bob = world.client(BOB).await;
    let result = fire(&mut bob, "save", Some(&[avatar])).await;
    assert_eq!(result["result"], json!({ "saved": [] }));
    assert_eq!(result["unknown"], json!([avatar.to_string()]));
    assert!(world.uploads.list("bob").await.expect("listed").is_empty());
    assert!(world.uploads.delete("bob", as_ref(avatar)).await.is_err());
    let result = fire(&mut alice, "save", Some(&[avatar])).await;
    assert_eq!(result["result"], json!({ "saved": ["me.txt"] }));
}

/// CTRL-6: a handler that fails or panics gives its uploads back, and they keep their names.
#[tokio::test]
async fn ctrl_6_a_handler_that_fails_gives_back() {
    let world = World::start().await;
    let mut client = world.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", b"mine").await;
    world.failing.store(2, Ordering::SeqCst);
    for _ in 0..2 {
        let result = fire(&mut client, "save", Some(&[avatar])).await;
        assert_eq!(result["code"], "event_failed", "{result}");
        assert_eq!(world.uploads.list("alice").await.expect("listed").len(), 1);
    }
    let lent = world
        .uploads
        .lend("alice", as_ref(avatar))
        .await
        .expect("it waits");
    let (id, attempt) = (lent.take_id().to_owned(), lent.attempt());
    assert_eq!(attempt, 3);
    lent.give_back().await.expect("it waits again");
    let lent = world
        .uploads
        .lend("alice", as_ref(avatar))
        .await
        .expect("it waits");
    assert_eq!((lent.take_id(), lent.attempt()), (&*id, 4));
    drop(lent);
    let result = fire(&mut client, "save", Some(&[avatar])).await;
    assert_eq!(result["result"], json!({ "saved": ["me.txt"] }));
}

/// CTRL-6: one that another handler has is awaited, and never had by two.
#[tokio::test]
async fn ctrl_6_never_two_at_once() {
    let world = World::start().await;
    let mut client = world.client(ALICE).await;
    let avatar = upload(&mut client, "one", "me.txt", b"mine").await;
    client
        .send(json!({ "type": "event", "event": "hold", "uploads": [avatar.to_string()] }))
        .await;
    crate::world::until("lent", {
        let mut looks = 0;
        move || {
            looks += 1;
            looks > 10
        }
    })
    .await;
    let mut other = world.client(ALICE).await;
    let result = fire(&mut other, "save", Some(&[avatar])).await;
    assert_eq!(result["taken"], json!([avatar.to_string()]), "{result}");
    let held = client
        .until(|message| message["type"] == "event_result")
        .await;
    assert_eq!(held["result"], json!({ "saved": 1 }));

    let racers = (0..16).map(|_| {
        let uploads = world.uploads.clone();
        tokio::spawn(async move { uploads.take("alice", as_ref(avatar)).await.is_ok() })
    });
    let mut taken = 0;
    for racer in racers.collect::<Vec<_>>() {
        taken += u32::from(racer.await.expect("no panic"));
    }
    assert_eq!(taken, 0, "it was taken before");
}

/// CTRL-6: of many that want it at once, over sockets or not, exactly one has it.
#[tokio::test]
async fn ctrl_6_one_of_many_takes_it() {
    let world = World::start().await;
    let mut client = world.client(ALICE).await;
    for round in 0..8 {
        let avatar = upload(&mut client, "one", &format!("{round}.txt"), b"mine").await;
        let racers: Vec<_> = (0..8)
            .map(|_| {
                let uploads = world.uploads.clone();
                tokio::spawn(async move { uploads.take("alice", as_ref(avatar)).await.is_ok() })
            })
            .collect();
        let mut taken = 0;
        for racer in racers {
            taken += u32::from(racer.await.expect("no panic"));
        }
        assert_eq!(taken, 1, "round {round}");
    }
}

/// CTRL-6: a page asks what waits, over any connection of its owner.
#[tokio::test]
async fn ctrl_6_a_page_lists_what_waits() {
    let world = World::start().await;
    let mut client = world.client(ALICE).await;
    let waits = upload(&mut client, "many", "a.txt", b"aaaa").await;
    let taken = upload(&mut client, "many", "b.txt", b"bbbb").await;
    upload(&mut client, "one", "c.txt", b"cccc").await;
    world
        .uploads
        .take("alice", as_ref(taken))
        .await
        .expect("it waits");
    let list = json!({ "type": "upload_list", "upload_name": "many", "id": "q" });
    for (cookie, expected) in [(ALICE, vec![waits.to_string()]), (BOB, vec![])] {
        let mut other = world.client(cookie).await;
        other.send(list.clone()).await;
        let answer = other
            .until(|message| message["type"] == "upload_list")
            .await;
        let uploads = answer["uploads"].as_array().expect("a list");
        let refs: Vec<_> = uploads
            .iter()
            .map(|it| it["ref"].as_str().expect("a ref"))
            .collect();
        assert_eq!(refs, expected, "{answer}");
        assert_eq!(
            (&answer["id"], &answer["more"]),
            (&json!("q"), &json!(false))
        );
        for upload in uploads {
            assert_eq!(
                (&upload["status"], &upload["client_name"]),
                (&json!("complete"), &json!("a.txt"))
            );
        }
    }
}
