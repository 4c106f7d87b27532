//! The whole server on a simulated network: what the core cannot see, because it has no sockets.
//!
//! Time is the simulation's, so minutes of silence cost nothing, and a seed gives the same run again
//! (`NETWORK_SEED`). What a partition swallows is gone for good, as with a cable that was pulled:
//! both ends believe in a connection that no byte crosses any more.

mod client;
mod world;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep, timeout};
use upload_server::Limits;

use client::{Honest, Raw};
use world::{World, file, seed};

/// Longest time of the simulation that anything may take.
const PATIENCE: Duration = Duration::from_secs(1200);

/// RESUME-3, RESUME-4: links are cut, one way or both, and held; every file arrives byte for byte, and
/// nothing is left behind.
#[test]
fn uploads_survive_partitions() {
    let names = ["ann", "ben", "cat"];
    let mut accepted = 0;
    for round in 0..8 {
        let world = World::new(seed() + round);
        let mut sim = world.sim();
        world.host(&mut sim, Limits::default());
        for (name, length) in names.into_iter().zip([4_000_000, 9_000_000, 900_000]) {
            let honest = Honest::new(&world, name, file(length as u64, length));
            sim.client(name, async move { honest.finish().await });
        }
        let mut dice = world.dice();
        sim.client("trouble", async move {
            for _ in 0..12 {
                sleep(Duration::from_millis(dice.below(400))).await;
                let name = names[dice.below(3) as usize];
                match dice.below(4) {
                    0 => turmoil::partition(name, "server"),
                    1 => turmoil::partition_oneway(name, "server"),
                    2 => turmoil::partition_oneway("server", name),
                    _ => turmoil::hold(name, "server"),
                }
                sleep(Duration::from_millis(dice.below(8_000))).await;
                turmoil::repair(name, "server");
                turmoil::release(name, "server");
            }
            Ok(())
        });
        sim.run()
            .unwrap_or_else(|error| panic!("NETWORK_SEED={}: {error}", world.seed));
        world.rest(&mut sim);
        accepted += world.state.look(|it| it.accepted);
    }
    assert!(
        accepted > 8 * names.len(),
        "somebody had to come back: {accepted}"
    );
}

/// CONN-3, RESUME-4: a machine that vanishes leaves a socket half open; its uploads are taken over at
/// once by its return, and the dead socket is found by its pongs.
#[test]
fn a_vanished_client_is_let_go() {
    let world = World::new(seed());
    let mut sim = world.sim();
    world.host(&mut sim, Limits::default());
    let first = Honest::new(&world, "ann", file(1, 3_000_000));
    let again = first.again();
    sim.host("ann", move || {
        let first = first.again();
        async move { first.finish().await }
    });
    let state = Arc::clone(&world.state);
    sim.client("waits", async move {
        state
            .until(|it| it.buffered_ever > 0 && it.connections == 1)
            .await;
        Ok(())
    });
    sim.run().expect("the upload has begun");
    sim.crash("ann");
    let state = Arc::clone(&world.state);
    sim.client("bea", async move {
        let begun = Instant::now();
        again.finish().await?;
        // Long before two pongs could be missed.
        assert!(
            begun.elapsed() < Duration::from_secs(20),
            "{:?}",
            begun.elapsed()
        );
        state.until(|it| it.connections == 0).await;
        Ok(())
    });
    sim.run().expect("the one who returns finishes");
    world.rest(&mut sim);
}

/// CREDIT-4, CONN-3: a peer that asks and never reads holds up nobody but itself, and not for ever.
#[test]
fn a_client_that_never_reads() {
    let world = World::new(seed());
    let mut sim = world.sim();
    world.host(&mut sim, Limits::default());
    let url = world.url();
    sim.client("deaf", async move {
        let mut raw = Raw::connect(&url, "deaf").await?;
        // More answers than the simulated socket holds, all unread; then only silence.
        let _ = timeout(Duration::from_secs(30), async {
            for _ in 0..20_000 {
                raw.say("{\"type\":\"ping\"}").await?;
            }
            Ok::<_, client::Error>(())
        })
        .await;
        sleep(Duration::from_secs(300)).await;
        Ok(())
    });
    let honest = Honest::new(&world, "ann", file(2, 2_000_000));
    sim.client("ann", async move {
        sleep(Duration::from_secs(2)).await;
        let begun = Instant::now();
        honest.finish().await?;
        assert!(
            begun.elapsed() < Duration::from_secs(30),
            "{:?}",
            begun.elapsed()
        );
        Ok(())
    });
    let state = Arc::clone(&world.state);
    sim.client("watch", async move {
        state.until(|it| it.connections_ever >= 2).await;
        state.until(|it| it.connections == 0).await;
        Ok(())
    });
    sim.run().expect("the deaf one is let go");
    world.rest(&mut sim);
}

/// CREDIT-2, CREDIT-3: a budget of a few chunks, many uploads at once, and links that stall: the budget
/// is kept, everybody finishes, and it is zero at the end.
#[test]
fn a_short_budget_is_kept() {
    let world = World::new(seed());
    let mut sim = world.sim();
    let budget = 400_000;
    let limits = Limits {
        buffer_budget: budget,
        ..Limits::default()
    };
    world.host(&mut sim, limits);
    for (number, name) in ["a", "b", "c", "d", "e", "f"].into_iter().enumerate() {
        let honest = Honest::new(&world, name, file(number as u64, 900_000));
        sim.client(name, async move { honest.finish().await });
    }
    sim.client("trouble", async {
        for _ in 0..10 {
            sleep(Duration::from_millis(300)).await;
            turmoil::hold("a", "server");
            turmoil::hold("b", "server");
            sleep(Duration::from_millis(900)).await;
            turmoil::release("a", "server");
            turmoil::release("b", "server");
        }
        Ok(())
    });
    sim.run().expect("everybody finishes");
    let most = world.state.look(|it| it.buffered_ever);
    // Per connection, one message that was read past the budget, and its content gate.
    let extra = 6 * (65_557 + 8_192);
    assert!(most > 0 && most <= budget + extra, "{most}");
    world.rest(&mut sim);
}

/// RESUME-1, CONN-2: a server that stops under load is at rest in three seconds, and the next one
/// continues every upload.
#[test]
fn shutdown_under_load() {
    for round in 0..6 {
        let world = World::new(seed() + round);
        let mut sim = world.sim();
        world
            .state
            .change(|it| it.stop_after = Some(Duration::from_millis(700 + 150 * round)));
        world.host(&mut sim, Limits::default());
        for number in 0..20_u64 {
            let name = format!("client-{number}");
            let honest = Honest::new(&world, &name, file(number, 700_000));
            sim.client(name, async move { honest.finish().await });
        }
        let mut dice = world.dice();
        sim.client("trouble", async move {
            // Some links are dead while the server drains.
            sleep(Duration::from_millis(500)).await;
            for _ in 0..3 {
                turmoil::partition(format!("client-{}", dice.below(20)), "server");
            }
            sleep(Duration::from_secs(10)).await;
            for number in 0..20 {
                turmoil::repair(format!("client-{number}"), "server");
            }
            Ok(())
        });
        sim.run()
            .unwrap_or_else(|error| panic!("NETWORK_SEED={}: {error}", world.seed));
        let stop = world.state.look(|it| it.stopped_in);
        let stop = stop.expect("the first server stopped under load");
        assert!(stop <= Duration::from_secs(3), "{stop:?}");
        world.rest(&mut sim);
    }
}
