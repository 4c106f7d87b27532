//! Places that are taken and given back.

use std::sync::Arc;

use super::{Full, OwnerQuota, OwnerTally, Purpose, ServerTally};

/// CTRL-3: past the maximum there is no token; a dropped one makes room.
#[test]
fn counts_living_tokens() {
    let tally = Arc::new(OwnerTally::default());
    let first = tally
        .take(0, 2, u64::MAX, Purpose::Register)
        .expect("room for the first");
    let _second = tally
        .take(0, 2, u64::MAX, Purpose::Register)
        .expect("room for the second");
    assert_eq!(
        tally.take(0, 2, u64::MAX, Purpose::Register).err(),
        Some(Full::Owner)
    );
    drop(first);
    assert_eq!(tally.count(), 1);
    assert!(tally.take(0, 2, u64::MAX, Purpose::Register).is_ok());
}

/// CTRL-3: bytes are counted as declared, and a refusal counts nothing.
#[test]
fn weighs_living_tokens() {
    let tally = Arc::new(OwnerTally::default());
    let first = tally
        .take(60, 9, 100, Purpose::Register)
        .expect("room for 60");
    assert!(tally.take(41, 9, 100, Purpose::Register).is_err());
    assert!(
        tally
            .take(u64::MAX, 9, u64::MAX, Purpose::Register)
            .is_err()
    );
    let second = tally
        .take(40, 9, 100, Purpose::Register)
        .expect("room for 40");
    assert_eq!((tally.count(), tally.bytes()), (2, 100));
    drop(first);
    assert_eq!((tally.count(), tally.bytes()), (1, 40));
    drop(second);
    assert_eq!((tally.count(), tally.bytes()), (0, 0));
}

/// CTRL-3: what arrives of a file of unknown length is counted as it comes.
#[test]
fn a_token_grows_within_the_limit() {
    let tally = Arc::new(OwnerTally::default());
    let mut token = tally
        .take(0, 9, 100, Purpose::Register)
        .expect("room for one");
    assert!(token.grow(60, 100) && token.grow(50, 100));
    assert!(!token.grow(101, 100));
    assert_eq!(tally.bytes(), 60);
    drop(token);
    assert_eq!(tally.bytes(), 0);
}

/// CTRL-3: owners share what the process has room for, and a refusal counts nothing.
#[test]
fn owners_share_the_room_of_a_process() {
    let server = Arc::new(ServerTally::new(2));
    let owner = || Arc::new(OwnerTally::within(Arc::clone(&server)));
    let (one, two) = (owner(), owner());
    let first = one
        .take(5, 9, 9, Purpose::Register)
        .expect("room for the first");
    let _second = two
        .take(5, 9, 9, Purpose::Register)
        .expect("room for the second");
    assert_eq!(
        two.take(1, 9, 9, Purpose::Register).err(),
        Some(Full::Server)
    );
    assert_eq!(
        two.take(5, 9, 9, Purpose::Register).err(),
        Some(Full::Owner)
    );
    assert_eq!((two.count(), two.bytes(), server.count()), (1, 5, 2));
    drop(first);
    assert_eq!((one.count(), server.count()), (0, 1));
    assert!(two.take(1, 9, 9, Purpose::Register).is_ok());
}

/// CTRL-3: what was begun has a place before what was not, and who has nothing before who has much.
#[test]
fn room_is_kept_for_resumes_and_newcomers() {
    let server = Arc::new(ServerTally::new(16));
    let greedy = Arc::new(OwnerTally::within(Arc::clone(&server)));
    let take = |owner: &OwnerTally, purpose| owner.take(0, u32::MAX, u64::MAX, purpose);
    let mut held = Vec::new();
    while let Ok(mut token) = take(&greedy, Purpose::Register) {
        assert!(token.fill());
        held.push(token);
    }
    assert_eq!(held.len(), 12);
    let owner = || OwnerTally::within(Arc::clone(&server));
    while let Ok(mut token) = take(&owner(), Purpose::Register) {
        assert!(token.fill());
        held.push(token);
    }
    assert_eq!(held.len(), 14);
    while let Ok(token) = take(&greedy, Purpose::Resume) {
        held.push(token);
    }
    assert_eq!(held.len(), 16);
    held.clear();
    assert_eq!((server.count(), greedy.count()), (0, 0));
}

/// CTRL-3: any number of owners who come from one address have what that address has.
#[test]
fn owners_of_one_address_share_its_room() {
    let server = Arc::new(ServerTally::new(100));
    let address = Arc::new(ServerTally::new(3));
    let owner = || Arc::new(OwnerTally::within(Arc::clone(&server)));
    let take = |owner: &OwnerTally, purpose| owner.take(0, 9, u64::MAX, purpose);
    let mut held: Vec<_> = (0..3)
        .map(|_| {
            take(
                &owner().from_address(Arc::clone(&address)),
                Purpose::Register,
            )
        })
        .collect();
    assert!(held.iter().all(Result::is_ok));
    let fourth = owner();
    let here = fourth.from_address(Arc::clone(&address));
    assert_eq!(take(&here, Purpose::Register).err(), Some(Full::Server));
    assert_eq!((fourth.count(), server.count(), address.count()), (0, 3, 3));
    let _resumed = take(&here, Purpose::Resume).expect("a resume");
    let _elsewhere = take(&fourth, Purpose::Register).expect("from another address");
    assert!(here.is_same_owner(&fourth) && here.count() == 2);
    held.pop();
    assert!(take(&here, Purpose::Register).is_ok());
}

/// CTRL-3: where the process is full, a registration that has sent nothing gives its place to an owner who has
/// fewer, and to what is resumed; one that has sent something keeps it.
#[test]
fn ctrl_3_registrations_that_sent_nothing_give_way() {
    let server = Arc::new(ServerTally::new(16));
    let owner = || Arc::new(OwnerTally::within(Arc::clone(&server)));
    let take = |owner: &OwnerTally, purpose| owner.take(0, u32::MAX, u64::MAX, purpose);
    let greedy = owner();
    let mut held: Vec<_> = std::iter::from_fn(|| take(&greedy, Purpose::Register).ok()).collect();
    assert_eq!(held.len(), 12);
    assert!(held[0].fill(), "it sends");
    let honest = owner();
    let _first = take(&honest, Purpose::Register).expect("a newcomer's place");
    let _second = take(&honest, Purpose::Register).expect("the place of one of the greedy");
    assert_eq!(
        (server.count(), honest.count(), greedy.count()),
        (13, 2, 12)
    );
    let lost: Vec<_> = held.iter_mut().map(|token| token.fill()).collect();
    assert_eq!(lost.iter().filter(|kept| !**kept).count(), 1);
    assert!(lost[0] && !lost[1], "the oldest that has sent nothing");
    drop(held);
    assert_eq!((server.count(), greedy.count()), (2, 0));
}

/// CTRL-3: who is refused for its address or its group takes no place of another.
#[test]
fn ctrl_3_who_is_refused_takes_no_place() {
    for limit in ["address", "group"] {
        let server = Arc::new(ServerTally::new(16));
        let take = |owner: &OwnerTally| owner.take(0, u32::MAX, u64::MAX, Purpose::Register);
        let greedy = Arc::new(OwnerTally::within(Arc::clone(&server)));
        let mut held: Vec<_> = std::iter::from_fn(|| take(&greedy).ok()).collect();
        let (address, group) = (Arc::new(ServerTally::new(1)), Arc::default());
        let limited = || {
            let owner = OwnerTally::within(Arc::clone(&server));
            let quota = OwnerQuota {
                uploads: 1,
                ..OwnerQuota::NONE
            };
            match limit {
                "address" => Arc::new(owner).from_address(Arc::clone(&address)),
                _ => owner.within_group(Arc::clone(&group), quota),
            }
        };
        let _first = take(&limited()).expect("the only one of its kind");
        let _other = take(&OwnerTally::within(Arc::clone(&server))).expect("a newcomer's place");
        let count = server.count();
        assert_eq!(take(&limited()).err(), Some(Full::Server), "{limit}");
        assert_eq!(server.count(), count, "{limit}");
        assert!(held.iter_mut().all(|token| token.fill()), "{limit}");
    }
}

/// CTRL-3: any number of owners of a group have together what the group may have. A resumed upload is counted
/// there and not refused.
#[test]
fn owners_of_a_group_share_its_room() {
    let group = Arc::new(OwnerTally::default());
    let owner = || {
        let quota = OwnerQuota {
            uploads: 2,
            bytes: 100,
            ..OwnerQuota::NONE
        };
        Arc::new(OwnerTally::default().within_group(Arc::clone(&group), quota))
    };
    let take = |owner: &OwnerTally, bytes, purpose| owner.take(bytes, 9, u64::MAX, purpose);
    let (one, two, three) = (owner(), owner(), owner());
    let mut first = take(&one, 60, Purpose::Register).expect("room for one");
    let too_large = take(&two, 41, Purpose::Register);
    assert_eq!(too_large.err(), Some(Full::Server));
    assert_eq!(
        (two.count(), two.bytes()),
        (0, 0),
        "a refusal counts nothing"
    );
    let second = take(&two, 0, Purpose::Register).expect("room for two");
    let third = take(&three, 0, Purpose::Register);
    assert_eq!(third.err(), Some(Full::Server));
    let resumed = take(&three, 50, Purpose::Resume).expect("a resume");
    assert_eq!((group.count(), group.bytes()), (3, 110));
    drop((second, resumed));
    assert!(first.grow(90, u64::MAX) && !first.grow(101, u64::MAX));
    assert_eq!((one.bytes(), group.bytes()), (90, 90));
    let address = one.from_address(Arc::new(ServerTally::new(9)));
    let here = take(&address, 11, Purpose::Register);
    assert_eq!(here.err(), Some(Full::Server), "wherever it comes from");
    drop(first);
    assert_eq!((group.count(), group.bytes()), (0, 0));
}
