//! What happens to a whole process: memory, restarts, death.

use std::{sync::Arc, time::Duration};

use upload_core::{Door, ServerTally};

use crate::world::{Happening, World};

impl World {
    /// Tells every session of a node how much memory there is.
    pub(crate) fn tell_window(&mut self, node: usize) {
        let bytes = self.nodes[node].squeeze.unwrap_or(1 << 40);
        for conn in 0..self.conns.len() {
            if self.conns[conn].node == node {
                self.input(conn, |session, _| session.handle_window(bytes));
            }
        }
    }

    pub(crate) fn app_cancel(&mut self, tab: usize, upload: usize) {
        let Some(conn) = self.tabs[tab].conn else {
            self.faults_felt -= 1;
            return;
        };
        let Some(upload) = self.tabs[tab].cancelled_by_app(upload) else {
            return;
        };
        self.input(conn, |session, now| {
            if let Some(session) = session.socket() {
                session.cancel(upload, now);
            }
        });
    }

    /// Sessions are told of the restart; a moment later the process is gone.
    pub(crate) fn drain_node(&mut self, node: usize, down_for: u64) {
        if !self.nodes[node].up || self.nodes[node].drains {
            self.faults_felt -= 1;
            return;
        }
        self.nodes[node].drains = true;
        for conn in 0..self.conns.len() {
            if self.conns[conn].node == node {
                self.input(conn, |session, now| {
                    session.handle_drain(Duration::from_millis(300), now);
                });
            }
        }
        self.after(3_000, Happening::NodeDown(node, down_for));
    }

    /// A process dies: whatever it held in memory is gone.
    pub(crate) fn crash(&mut self, node: usize, down_for: u64) {
        if !self.nodes[node].up {
            self.faults_felt -= 1;
            return;
        }
        self.nodes[node].up = false;
        self.nodes[node].boot += 1;
        self.nodes[node].squeeze = None;
        for conn in 0..self.conns.len() {
            if self.conns[conn].node != node {
                continue;
            }
            if let Some(mut host) = self.conns[conn].host.take() {
                self.half_done(&mut host);
                for life in host.entries.values() {
                    let key = (self.conns[conn].owner, life.upload);
                    if let Some(truth) = self.truth.get_mut(&key) {
                        truth.is_orphaned = true;
                    }
                }
            }
            if self.conns[conn].server_open {
                self.conns[conn].server_open = false;
                self.conns[conn].inbox.clear();
                let after = self.rng.pick(&[0, 10, 1_000]);
                self.cut(conn, 0, after);
            }
        }
        self.nodes[node].parked.clear();
        self.nodes[node].holders.clear();
        self.nodes[node].waiters.clear();
        self.nodes[node].visits.clear();
        self.nodes[node].tallies.clear();
        self.nodes[node].all = Arc::new(ServerTally::new(u32::MAX));
        let rng = &mut self.rng;
        self.storage.crash(node, |durable, written| {
            durable + rng.below(written - durable + 1)
        });
        if self.plan.setup.memory_store {
            self.records.forget_all();
            self.is_lossy = true;
        }
        self.after(down_for, Happening::NodeUp(node));
    }

    /// Releases everything that is parked.
    pub(crate) fn empty_lot(&mut self, node: usize) {
        for (_, parked) in std::mem::take(&mut self.nodes[node].parked) {
            self.storage.release(parked.handle);
        }
    }
}
