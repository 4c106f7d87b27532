//! What one address may have of what all share.

use upload_server::Unauthenticated;

use crate::{connect, start};

/// CONN-2: who never signs in leaves others the places in which they hear that they have to.
#[tokio::test]
async fn conn_2_unauthenticated_connections_of_one_address_leave_places_to_others() {
    let server = start(|builder| {
        let builder = builder.trust_proxy(true);
        builder.owner(|_| Err(Unauthenticated))
    })
    .await;
    let near = [("x-forwarded-for", "203.0.113.7")];
    let mut open = Vec::new();
    let refused = loop {
        let answer = connect(&server, &near).await;
        if answer.status != 101 || open.len() > 200 {
            break answer.status;
        }
        open.push(answer);
    };
    assert_eq!(refused, 503, "after {} of them", open.len());
    let far = [("x-forwarded-for", "198.51.100.9")];
    let mut other = connect(&server, &far).await;
    assert_eq!((other.status, other.close_code().await), (101, 4401));
}
