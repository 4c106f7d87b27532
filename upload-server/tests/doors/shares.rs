//! What one client may have of what all share.

use upload_server::Limits;

use crate::wire::Server;

const FILES: &str = "/uploads/files/files";

/// There are only so many uploads between requests at a time.
#[tokio::test]
async fn visits_are_bounded() {
    let limits = Limits {
        max_visits: 1,
        ..Limits::default()
    };
    let server = Server::with(|builder| builder.limits(limits)).await;
    let path = server.create(3).await;
    let answer = server
        .tus("POST", FILES, &[("upload-length", "3")], b"")
        .await;
    assert_eq!(answer.status, 503);
    assert!(answer.header("retry-after").is_some());
    assert_eq!(server.append(&path, 0, b"abc").await.status, 204);
    while server
        .tus("POST", FILES, &[("upload-length", "3")], b"")
        .await
        .status
        == 503
    {}
}

/// One address has a part of these places, eight at least; others find one.
#[tokio::test]
async fn visits_of_one_address_leave_places_to_others() {
    let limits = Limits {
        max_visits: 9,
        ..Limits::default()
    };
    let server = Server::with(|builder| builder.limits(limits).trust_proxy(true)).await;
    let create = async |address: &str| {
        let headers = [("upload-length", "3"), ("x-forwarded-for", address)];
        server.tus("POST", FILES, &headers, b"").await.status
    };
    for _ in 0..8 {
        assert_eq!(create("203.0.113.7").await, 201);
    }
    assert_eq!(create("203.0.113.7").await, 503);
    assert_eq!(create("198.51.100.9").await, 201);
}

/// What the headers say of a visitor who contradicts them, or makes them unreadable, is not believed; such visitors
/// share one part, as if they were one.
#[tokio::test]
async fn an_address_that_contradicts_itself_has_a_share_too() {
    let limits = Limits {
        max_visits: 9,
        ..Limits::default()
    };
    let server = Server::with(|builder| builder.limits(limits).trust_proxy(true)).await;
    let create = async |said: &[(&str, &str)]| {
        let headers = [&[("upload-length", "3")][..], said].concat();
        server.tus("POST", FILES, &headers, b"").await.status
    };
    let contradiction = [
        ("x-forwarded-for", "203.0.113.7"),
        ("forwarded", "for=192.0.2.1"),
    ];
    let unreadable = [("x-forwarded-for", "unknown")];
    for _ in 0..4 {
        assert_eq!(create(&contradiction).await, 201);
        assert_eq!(create(&unreadable).await, 201);
    }
    assert_eq!(create(&contradiction).await, 503);
    assert_eq!(create(&unreadable).await, 503);
    let other = [("x-forwarded-for", "198.51.100.9")];
    assert_eq!(create(&other).await, 201);
}

/// CTRL-3: who has nothing but the address of an upload is an owner with each, which costs nothing; so they
/// share what there is for them, and owners of a cookie have theirs.
#[tokio::test]
async fn ctrl_3_owners_of_an_address_only_share_a_limit() {
    let limits = Limits {
        max_capability_uploads: Some(2),
        max_capability_bytes: Some(1000),
        ..Limits::default()
    };
    let server = Server::with(|builder| builder.limits(limits)).await;
    let create = async |length: &str, more: &[(&str, &str)]| {
        let headers = [&[("upload-length", length)][..], more].concat();
        server.tus("POST", FILES, &headers, b"").await
    };
    let first = create("600", &[]).await;
    assert_eq!(first.status, 201);
    let refused = create("401", &[]).await;
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.header("retry-after").is_some());
    assert_eq!(create("400", &[]).await.status, 201);
    assert_eq!(create("0", &[]).await.status, 503);
    let session = server.ask("GET", "/uploads/session", &[], b"").await;
    let cookie = session.header("set-cookie").expect("a cookie");
    let pair = ("cookie", cookie.split(';').next().expect("a pair"));
    assert_eq!(create("50000", &[pair]).await.status, 201);
    // What ends makes room.
    let path = first.header("location").expect("a location");
    assert_eq!(server.tus("DELETE", path, &[], b"").await.status, 204);
    assert_eq!(create("600", &[]).await.status, 201);
}
