//! The bugs that are planted, each one line of the core.
//!
//! `from` must fit exactly once into its file; where the core changes, this
//! table follows.

/// One planted bug.
pub(super) struct Mutant {
    pub(super) name: &'static str,
    /// Below `upload-core/src`.
    pub(super) file: &'static str,
    pub(super) from: &'static str,
    pub(super) to: &'static str,
}

macro_rules! mutants {
    ($($file:literal: $name:literal $from:literal => $to:literal;)*) => {
        /// Every planted bug, by file.
        pub(super) const MUTANTS: &[Mutant] = &[$(Mutant {
            name: $name,
            file: $file,
            from: $from,
            to: $to,
        },)*];
    };
}

mutants! {
    "crc.rs": "a mark past the durable offset counts"
        ".take_while(|mark| mark.offset <= durable)" => ".take_while(|mark| mark.offset <= durable + 8)";
    "crc.rs": "a mark past the durable offset is settled"
        "if mark.offset > durable {" => "if mark.offset > durable + 8 {";
    "crc.rs": "the checksum stands still"
        "crc: self.end.crc.map(|crc| append(crc, data))," => "crc: self.end.crc,";
    "crc.rs": "marks of tiny chunks are never forgotten"
        "if self.marks.len() >= MARKS_MAX {" => "if false {";
    "lookup.rs": "a live lease is taken (a second tab gets in)"
        "return Access::Locked;" => "return Access::Take;";
    "lookup.rs": "every client is the same"
        "(Some(theirs), Some(ours)) => theirs == ours," => "(Some(_), Some(_)) => true,";
    "lookup.rs": "a client without an id is the same (null equals null)"
        "_ => false,\n    }\n}" => "(None, None) => true,\n        _ => false,\n    }\n}";
    "lookup.rs": "the same client is locked out"
        "(Some(theirs), Some(ours)) => theirs == ours," => "(Some(_), Some(_)) => false,";
    "lookup.rs": "a lease never expires"
        "asker.unix_ms < lease.expires_unix_ms && (is_local || asker.shared_store)" => "lease.expires_unix_ms > 0 && (is_local || asker.shared_store)";
    "lookup.rs": "a lease of a dead process of a private store is honoured"
        "asker.unix_ms < lease.expires_unix_ms && (is_local || asker.shared_store)" => "asker.unix_ms < lease.expires_unix_ms && (is_local || true)";
    "lookup.rs": "a receipt is taken for an upload"
        "if record.phase.is_stored() {" => "if false {";
    "lookup.rs": "a late request of an older connection takes over"
        "let is_late = is_local && lease.session > asker.holder.session;" => "let is_late = is_local && lease.session == u64::MAX;";
    "lookup.rs": "the other holder of this process is not asked to give way"
        "if is_local && !asker.evicted {" => "if false && is_local {";
    "lookup.rs": "a cancel is refused by a live lease"
        "if !asker.insists\n        && is_live" => "if is_live";
    "record.rs": "a record of an unknown layout is none"
        "            Self::Layout(_) => true," => "            Self::Layout(_) => false,";
    "sender.rs": "the sender registers again what it had registered"
        "self.ref_use.step(RefEvent::Registered);\n        self.stage.step(Step::Lost);" => "self.ref_use.step(RefEvent::Refused);\n        self.stage.step(Step::Lost);";
    "sender.rs": "a cancel without a connection is never sent"
        "self.stage.step(Step::CancelledOffline);" => "self.finish(Outcome::Cancelled);";
    "sender.rs": "another file's upload keeps its place in the slot"
        "self.out.push_front(SenderOutput::Frame(cancel));" => "let _ = cancel;";
    "sender/messages.rs": "the sender goes on where it believes to be"
        "                    offset: resumed.bytes_received,\n" => "                    offset: self.durable,\n";
    "sender/messages.rs": "a checksum that cannot be read counts as none"
        "parse_crc32c_hex(text).ok_or(Violation::UnreadableChecksum)" => "Ok(parse_crc32c_hex(text).unwrap_or(u32::MAX))";
    "sender/messages.rs": "the receipt of another file is taken"
        "if is_compared && theirs != ours.crc {" => "if false && is_compared {";
    "sender/reads.rs": "an answer that comes before its turn is dropped"
        "read.data = Data::Early(data);" => "if self.open.front().is_some_and(|front| front.id == id) { self.open[0].data = Data::Early(data); }";
    "sender/reads.rs": "pieces are used in the order of the answers"
        "let Some(read) = self.open.iter_mut().find(|read| read.id == id) else {" => "let Some(read) = self.open.iter_mut().find(|read| read.data == Data::Owed) else {";
    "sender/retries.rs": "restarts are not counted"
        "self.restarts = self.restarts.saturating_add(1);" => "self.restarts = self.restarts.saturating_add(0);";
    "sender/stage.rs": "the sender begins its indices anew"
        "next_index: goal.next_index," => "next_index: goal.next_index.min(1),";
    "sender/transfer.rs": "the sender sends past its credit"
        "if is_sending && self.is_out_of_credit() {" => "if false && is_sending {";
    "sender/transfer.rs": "a prefix is not compared with the file"
        "if crc32c.is_some() && crc32c != end.crc {" => "if false {";
    "sender/transfer.rs": "a file that changed is completed"
        "FileCheck::Changed => self.end_as_changed()," => "FileCheck::Changed => { self.handle_checked(id, FileCheck::Unchanged, now); }";
    "sequencer.rs": "an index seen before is taken again (RS-10)"
        "if index < self.next_index {" => "if false {";
    "sequencer.rs": "a chunk beyond the next one is stored (FR-5, PC-4)"
        "if index > self.next_index {" => "if false {";
    "sequencer.rs": "the next index is rounded up after a resume"
        "next_index: whole_chunks(received, chunk_size)," => "next_index: received.div_ceil(u64::from(chunk_size.max(1))),";
    "sequencer.rs": "indices begin at 0 after a resume"
        "next_index: whole_chunks(received, chunk_size)," => "next_index: 0 * u64::from(chunk_size),";
    "sequencer.rs": "a second gap is not told"
        "        self.next_index = self.next_index.saturating_add(1);\n        self.gap = Gap::Unreported;" => "        self.next_index = self.next_index.saturating_add(1);";
    "session.rs": "a client without credit idles"
        "} else if channel.has_credit() && self.uploads.waits_for_client(entry) {" => "} else if self.uploads.waits_for_client(entry) {";
    "session.rs": "the socket is read past the credit"
        "self.is_reading() && !self.alarms.is_overrun()" => "self.is_reading()";
    "session/alarms.rs": "a line that is dropped keeps the socket unread"
        "        self.overrun = self.overrun.saturating_sub(usize::from(was));" => "        let _ = was;";
    "session/frames.rs": "an empty chunk does not count"
        "                channel.sequencer.advance();\n                if is_empty {" => "                if !is_empty {\n                    channel.sequencer.advance();\n                }\n                if is_empty {";
    "session/frames.rs": "what was received before keeps an upload from idling"
        "Accepted::Again | Accepted::Gap => {}" => "Accepted::Again | Accepted::Gap => {\n                let active_at = self.heard(now);\n                if let Some(channel) = self.channels.get_mut(&entry) { channel.active_at = active_at; }\n            }";
    "session/frames.rs": "frames count after letting go"
        "if !self.uploads.takes_bytes(entry) {" => "if self.uploads.position(entry).is_none() {";
    "session/frames.rs": "a gap ends every upload"
        "Accepted::NewGap if self.uploads.config().plain => {" => "Accepted::NewGap if self.uploads.config().checksum => {";
    "session/frames.rs": "frames of unknown refs are not answered (FR-12)"
        "if !is_early && self.endings.of(upload).is_none() {" => "if is_early && self.endings.of(upload).is_none() {";
    "session/frames.rs": "a cancel of a detached upload does nothing"
        ".is_some_and(|it| it.detached != Some(true) || it.code == Some(Code::Superseded));" => ".is_some_and(|it| it.detached.is_none() || it.detached == Some(true));";
    "session/channel.rs": "a resume grants no credit"
        "resumed.credit = numbers.credit;" => "resumed.credit = 0;";
    "session/channel.rs": "durable is told to go back"
        "durable: self.at.durable.max(at.durable)," => "durable: at.durable,";
    "session/channel.rs": "a chunk of any length is taken"
        "chunk.len() > usize::try_from(self.slot.chunk_size).unwrap_or(usize::MAX)" => "chunk.len() == usize::MAX";
    "session/news.rs": "endings are not remembered (WL-18)"
        ".with_code(Code::Cancelled),\n        };\n        self.out.progress(snapshot.clone());\n        self.endings\n            .remember(snapshot, Finality::of(subject.slot.waits));" => ".with_code(Code::Cancelled),\n        };\n        self.out.progress(snapshot);";
    "session/news.rs": "what does not wait is looked for behind its receipt"
        ".remember(snapshot, Finality::of(subject.slot.waits));" => ".remember(snapshot, Finality::Removable);";
    "session/news.rs": "a complete behind a resume is dropped"
        "        if let Completes::With(crc32c) = completes {" => "        if let (Completes::With(crc32c), true) = (completes, false) {";
    "session/outbox.rs": "messages are sent to nobody"
        "if !self.is_gone {" => "if !self.is_gone || self.refusals == 0 {";
    "tally.rs": "an owner's bytes are not limited"
        "sum.checked_add(bytes).filter(|sum| *sum <= bytes_max)" => "sum.checked_add(bytes).filter(|sum| *sum <= bytes_max.max(*sum))";
    "tally.rs": "bytes are never uncounted"
        "Some(sum.saturating_sub(bytes))" => "Some(sum.saturating_sub(0))";
    "tally.rs": "uploads are never uncounted"
        "Some(count.saturating_sub(1))" => "Some(count.saturating_sub(0))";
    "timers.rs": "an alarm that is put off is lost"
        "            Some(planned) if *planned <= at => return," => "            Some(planned) if *planned < at => { let planned = *planned; self.queue.remove(&(planned, entry)); return }";
    "upload.rs": "a record that is written anew keeps its epoch"
        "self.epoch = self.epoch.saturating_add(EPOCHS_ANEW);" => "self.epoch = self.epoch.saturating_add(0);";
    "upload.rs": "a parked writer of another registration is taken"
        "            registration: Arc::clone(&self.registration)," => "            registration: Arc::default(),";
    "upload/flush.rs": "a file is never flushed"
        "            | (Self::Settled | Self::Due(_), Left::Bytes { kept: false, .. }) => Self::Asked," => "            => Self::Asked,\n            (Self::Settled | Self::Due(_), Left::Bytes { kept: false, .. }) => Self::Settled,";
    "upload/flush.rs": "a writer that keeps bytes is never flushed"
        "self.deadline().is_some_and(|at| at <= now.instant);" => "self.deadline().is_some_and(|at| at <= now.instant) && false;";
    "upload/flush.rs": "a part is waited for once only"
        "            (Self::Asked, Left::Bytes { moved: true, .. })\n            | (Self::Settled" => "            (Self::Asked, Left::Bytes { moved: true, .. }) => Self::Settled,\n            (Self::Settled";
    "upload/flush.rs": "an abandoned flush counts as answered"
        "        *self = Self::Settled;\n    }" => "        let _ = &self;\n    }";
    "upload/writing.rs": "a writer is flushed although more waits for it"
        "let is_left = self.taken == self.received() && self.durable < self.taken;" => "let is_left = self.durable < self.taken;";
    "upload/receiving.rs": "the checksum is not compared"
        "if crc32c.is_some() && ours.is_some() && crc32c != ours {" => "if false {";
    "upload/receiving.rs": "a tenth more than declared is tolerated (PC-7)"
        "if end > self.entry.length.max() {" => "if end > self.entry.length.max() + self.entry.length.max() / 10 {";
    "upload/receiving.rs": "an upload is whole whatever is missing (the silent loss)"
        "known.is_some_and(|size| size != self.received())" => "known.is_some_and(|size| size < self.received())";
    "upload/receiving.rs": "an incomplete upload completes (the silent loss)"
        "known.is_some_and(|size| size != self.received())" => "known.is_some_and(|_| false)";
    "upload/receiving.rs": "bytes of another offset are appended"
        "if at != self.received() {" => "if at > self.received() {";
    "upload.rs": "the first held chunk is lost"
        "for data in chunks {" => "for data in chunks.into_iter().skip(1) {";
    "upload.rs": "a checkpoint that changed is not kept"
        "self.checkpoint = Checkpoint::Present(new, revision);" => "let _ = (new, revision);";
    "upload.rs": "a checkpoint that there is no more counts as unchanged"
        "                self.checkpoint = Checkpoint::Lost;\n" => "";
    "upload.rs": "registered before there is a record"
        "        if self.recorder.keeper().is_some() {\n            self.save_when_due(cx);\n        } else if keeps_records" => "        if self.recorder.keeper().is_some() {\n            self.claimed(cx); self.save_when_due(cx);\n        } else if keeps_records";
    "upload/ending.rs": "closing the tab keeps the upload"
        "if keep && self.can_be_resumed() {" => "if (keep || true) && self.can_be_resumed() {";
    "upload/ending.rs": "a lost connection ends what can be resumed (RS-17)"
        "if keep && self.can_be_resumed() {" => "if false && keep {";
    "upload/ending.rs": "a superseded holder tells more durable than recorded"
        "        // Durable is still only what our own record said (RESUME-2)." => "        self.recorder = super::recorder::Recorder::Off;";
    "upload/ending.rs": "a writer is parked while it writes"
        "Writer::Open(_) => self.taken == self.received()," => "Writer::Open(_) => true,";
    "upload/ending.rs": "an upload leaves before its lease is released"
        "if keeper.is_busy() || (keeper.is_healthy() && !is_saved) {" => "if keeper.is_busy() || (keeper.is_healthy() && !is_saved && false) {";
    "upload/ending.rs": "abort without a writer"
        "if self.writer.drop_it(self.stay.is_finishing()) {\n            if self.recorder.is_known() {" => "if self.writer.drop_it(self.stay.is_finishing()) || true {\n            if self.recorder.is_known() {";
    "upload/ending.rs": "a failed upload's writer is not aborted"
        "if self.writer.drop_it(self.stay.is_finishing()) {\n            if self.recorder.is_known() {" => "if self.writer.drop_it(self.stay.is_finishing()) && false {\n            if self.recorder.is_known() {";
    "upload/ending.rs": "what another holder may have is undone at once (an abort that is not fenced)"
        "if self.recorder.is_known() {" => "if false {";
    "upload/ending.rs": "an upload that leaves behind a second gate is parked"
        "let is_gated = self.taken < self.head_bytes();" => "let is_gated = false;";
    "upload/ending.rs": "a finishing upload dies with its connection"
        "        if self.stay.is_finishing() {\n            return;\n        }\n        if keep" => "        if keep";
    "upload/ending.rs": "an old holder destroys what is the new one's"
        "        if self.writer.drop_it(self.stay.is_finishing()) {\n            self.order(Order::Release, cx);\n        }\n        self.entry.status = EntryStatus::Failed(Code::Superseded);" => "        if self.writer.drop_it(self.stay.is_finishing()) {\n            self.order(Order::Abort(AbortReason::Cancelled), cx);\n        }\n        self.entry.status = EntryStatus::Failed(Code::Superseded);";
    "upload/ending.rs": "an old holder keeps its writer"
        "        if self.writer.drop_it(self.stay.is_finishing()) {\n            self.order(Order::Release, cx);\n        }\n        self.entry.status = EntryStatus::Failed(Code::Superseded);" => "        self.writer.drop_it(self.stay.is_finishing());\n        self.entry.status = EntryStatus::Failed(Code::Superseded);";
    "upload/ending.rs": "full storage throws the upload away"
        "            | Writer::Gone(_) => Order::Release," => "            | Writer::Gone(_) => Order::Abort(AbortReason::Storage(fault)),";
    "upload/ending.rs": "a writer is parked under another epoch"
        "            fence: self.lineage.fence(),\n            received" => "            fence: crate::Fence { epoch: self.lineage.epoch + 1, ..self.lineage.fence() },\n            received";
    "upload/ending.rs": "what can not be resumed is parked for another connection"
        "if self.can_be_resumed() || self.stay.is_finishing() {" => "if self.can_be_resumed() || self.taken > 0 {";
    "upload/ending.rs": "cancel while the writer closes"
        "let is_too_late = self.writer.is_published() || matches!(self.writer, Writer::Closing);" => "let is_too_late = self.writer.is_published();";
    "upload/ending.rs": "an upload fails after it was published"
        "if !self.stay.is_gone() && !self.writer.is_published() {" => "if !self.stay.is_gone() {";
    "upload/ending.rs": "what is being cleaned up is not counted"
        "            self.token.take(),\n        );" => "            None,\n        );";
    "upload/image.rs": "the record says what was written, not what is durable"
        "let mark = self.crc.settled(self.durable);" => "let mark = self.crc.settled(self.taken);";
    "upload/image.rs": "a lease is kept by who let go"
        "let lease = (!target.released).then(|| Lease {" => "let lease = (!target.released || lineage.epoch > 0).then(|| Lease {";
    "upload/image.rs": "the record counts bytes that no checkpoint finds again"
        "self.checkpoint.value().is_some() && mark.offset >= needed" => "mark.offset >= needed";
    "upload/image.rs": "a part of a judged head is gone on from"
        "self.head_bytes().max(self.kept_head.len() as u64)" => "self.kept_head.len() as u64";
    "upload/image.rs": "a part of the first bytes in the record is gone on from"
        "self.head_bytes().max(self.kept_head.len() as u64)" => "self.head_bytes()";
    "upload/image.rs": "the first bytes are not kept"
        "        if head.bytes <= kept || head.bytes > RECORD_BYTES_MAX as u64 {" => "        if head.bytes <= kept || kept == 0 {";
    "upload/image.rs": "first bytes are kept where no checkpoint fits with them"
        "if !record.is_ok_and(has_room) {" => "if record.is_err() {";
    "upload/image.rs": "durable is told before it is recorded"
        "keeper.saved().map_or(0, |saved| saved.offset)" => "keeper.saved().map_or(self.durable, |_| self.durable)";
    "upload/keeper.rs": "a file of unknown length is closed before a record says how long it is"
        "        self.length == LengthTold::Yes\n" => "        true\n";
    "upload/keeper.rs": "the lease is never renewed"
        "Some(_) => age >= renew," => "Some(_) => age >= renew * 1000,";
    "upload/keeper.rs": "a store that failed is never asked again"
        "at: now.after(pause)," => "at: now.after(pause * 100_000),";
    "upload/keeper.rs": "a new phase waits for the interval of progress"
        "Some(saved) if (saved.phase, saved.released) != (target.phase, target.released) => true," => "Some(saved) if (saved.phase, saved.released) != (target.phase, target.released) => age >= renew,";
    "upload/keeper.rs": "a save in flight counts as saved"
        "self.call = Call::Saving(saving);" => "self.call = Call::Saving(saving); self.saved = Some(saving);";
    "upload/keeper.rs": "a save that failed counts as saved"
        "    pub(crate) fn failed(&mut self, now: Now) -> bool {\n        self.call = Call::Idle;" => "    pub(crate) fn failed(&mut self, now: Now) -> bool {\n        if let Call::Saving(saving) = self.call { self.saved = Some(saving); }\n        self.call = Call::Idle;";
    "upload/keeper.rs": "a conflict is looked into for ever"
        "        self.call = Call::Idle;\n        self.version = version;" => "        self.version = version;";
    "upload/keeper.rs": "after a conflict the old version is expected"
        "        self.call = Call::Idle;\n        self.version = version;" => "        self.call = Call::Idle; let _ = version;";
    "upload/keeper.rs": "a changed checkpoint waits for ever"
        "Some(saved) if saved != target => age >= interval," => "Some(saved) if saved.offset != target.offset => age >= interval,";
    "upload/saving.rs": "first bytes go for what the writer needs"
        "            return self.keep_no_record(cx);\n        };" => "            if self.kept_head.is_empty() { return self.keep_no_record(cx); }\n            self.kept_head = bytes::Bytes::new();\n            return self.save_when_due(cx);\n        };";
    "upload/ending.rs": "a record that was not deleted stays behind its file"
        "Recorder::Deleting(_) | Recorder::Unsure(_)) => {" => "Recorder::Deleting(_) | Recorder::Unsure(_)) if false => {";
    "upload/ending.rs": "the bytes of what was let go of are named by nothing"
        "} else if was_released {\n            Undo::Later" => "} else if was_released {\n            Undo::Nothing";
    "upload/waiting.rs": "an end that is refused waits for an answer that came"
        "                    keeper.failed(cx.now);\n" => "                    let _ = keeper;\n";
    "upload/saving.rs": "a file is removed that a late save may still tell of"
        "return self.save_removal(cx);" => "return self.discard(Code::StorageThrottled, cx);";
    "upload/waiting.rs": "a stored file is removed without a look at its record"
        "            self.look_for_record(cx);\n" => "            self.discard(Code::StorageThrottled, cx);\n";
    "upload/saving.rs": "who was taken over completes what another has to record"
        "Writer::Closed(_) if self.slot.waits => self.superseded(cx)," => "Writer::Closed(_) if self.slot.waits => self.completed(cx),";
    "upload/saving.rs": "a lost checkpoint costs a stored file its record"
        "!self.stay.is_gone() && !self.waits_to_be_recorded() {" => "!self.stay.is_gone() {";
    "uploads/takeover.rs": "no door hears of a file that turns out to be stored"
        "if upload.stay.is_finishing() {" => "if upload.stay.is_finishing() && false {";
    "uploads/reach.rs": "a cancel that the store does not take is refused as if another had it"
        "Then::Cancel => Answer::Unreadable," => "Then::Cancel => Answer::Locked(claim.received()),";
    "upload/saving.rs": "a superseded holder goes on"
        "Ok(_) | Err(_) => self.taken_over(cx)," => "Ok(_) | Err(_) => self.adopt(Some(version)),";
    "upload/saving.rs": "a ref of which there is a record is registered in a slot without records"
        "StoreEvent::Found(Some(_)) => self.refuse(Code::RefInUse, cx)," => "StoreEvent::Found(Some(_)) => self.claimed(cx),";
    "upload/saving.rs": "a record that leads nowhere is kept"
        "if is_idle && is_lost && !self.stay.is_gone() && !self.waits_to_be_recorded() {" => "if false && is_idle {";
    "upload/saving.rs": "complete is told before the receipt is recorded"
        "            Some(keeper) => keeper.retry_now(cx.now),\n            None => self.completed(cx)," => "            Some(_) | None => self.completed(cx),";
    "upload/saving.rs": "the writer closes before the record knows"
        "saved.is_some_and(|saved| saved.phase == RecordPhase::Completing)\n            ||" => "saved.is_some_and(|saved| saved.phase != RecordPhase::Complete)\n            ||";
    "upload/saving.rs": "a receipt that another holder wrote or removed is waited for"
        "            Writer::Closed(_) => self.completed(cx),\n            Writer::Announcing(_) => {" => "            Writer::Closed(_) => {}\n            Writer::Announcing(_) => {";
    "upload/saving.rs": "a file is stored again behind a record that vanished"
        "Stay::Finishing(_) => !self.writer.closes()," => "Stay::Finishing(_) => false,";
    "upload/saving.rs": "an upload whose record vanished is given up (RS-14)"
        "            } else if let Some(keeper) = self.recorder.keeper_mut() {\n                self.lineage.begin_anew(keeper);\n" => "            } else {\n                self.superseded(cx);\n";
    "upload/saving.rs": "a result too large for the record never completes"
        "Writer::Closed(_) => return self.completed(cx)," => "Writer::Closed(_) => return,";
    "upload/saving.rs": "the first checkpoint waits to be saved"
        "} else if is_first_checkpoint && !is_whole {" => "} else if is_first_checkpoint && is_whole {";
    "upload/writing.rs": "the content gate lets everything pass (MB-10)"
        "self.fail(refusal.code, AbortReason::ContentMismatch, cx);" => "if self.writer.accepted().is_some() { self.order(Order::Open, cx); }";
    "upload/writing.rs": "an empty file never opens a writer (WL-19)"
        "let is_all = is_whole && (self.stay.is_finishing() || gated > 0);" => "let is_all = is_whole && gated > 0;";
    "upload/writing.rs": "a short file is never judged"
        "if !has_head && !is_all {" => "if !has_head && !(is_whole && self.received() == 0) {";
    "upload/writing.rs": "the application is not asked again before the file is stored"
        "self.stay == Stay::Finishing(Permit::Granted)" => "self.stay.is_finishing()";
    "upload/writing.rs": "a withdrawn right stores the file"
        "                if self.stay == Stay::Finishing(Permit::Asked) {\n                    self.entry.words = refusal.words;\n                    self.fail(refusal.code, AbortReason::Cancelled, cx);" => "                if self.stay.permit(Permit::Asked, Permit::Granted) {\n                    self.entry.words = refusal.words;\n                    self.advance(cx);";
    "upload/writing.rs": "close does not wait for the last byte"
        "            && self.taken == self.received()\n" => "";
    "upload/writing.rs": "a writer's failure is ignored (WL-6)"
        "    fn writer_failed(&mut self, fault: StorageFault, cx: &mut Context<'_>) {\n        if !self.writer.is_there() {" => "    fn writer_failed(&mut self, fault: StorageFault, cx: &mut Context<'_>) {\n        if self.writer.is_there() {";
    "upload/writing.rs": "passing trouble is final"
        "if fault.is_passing() && self.can_be_resumed() {" => "if false {";
    "upload/writing.rs": "what is received is durable"
        "self.durable = self.durable.max(durable.min(self.taken));" => "self.durable = self.durable.max(durable.max(self.taken));";
    "upload/writing.rs": "a receipt is recorded before the application is sure to hear of it"
        "            Some(result) => cx.effects.push" => "            Some(result) if self.writer.announced() => { let _ = result; self.record_receipt(cx) }\n            Some(result) => cx.effects.push";
    "uploads.rs": "a record read too late is taken over while the server restarts"
        "if self.stage != Stage::Open && matches!" => "if self.stage == Stage::Gone && matches!";
    "uploads.rs": "a record of an ended upload is left behind"
        "if let Some((mut cleanup, standing)) = upload.cleanup(&self.config.limits, now) {" => "if let Some((mut cleanup, standing)) = upload.cleanup(&self.config.limits, now).filter(|_| false) {";
    "uploads.rs": "the sum of what is buffered only grows"
        "sum.saturating_sub(before).saturating_add(after)" => "sum.saturating_add(after).max(before)";
    "uploads/answers.rs": "a ref that another connection holds is registered"
        "            if is_free {" => "            if is_free || true {";
    "uploads/answers.rs": "draining detaches nothing"
        "                if upload.can_be_resumed() {\n                    upload.detach(why, cx);\n                }" => "                let _ = (&upload, &cx);";
    "uploads/answers.rs": "a lost connection is left alone"
        "self.with(entry, now, |upload, cx| upload.disconnected(keep, cx));" => "let _ = keep;";
    "uploads/claim.rs": "a head that was kept is forgotten"
        "Writer::Gate(Head::from(self.record.head.clone()), behind)" => "Writer::Gate(Head::default(), behind)";
    "uploads/claim.rs": "a new holder does not raise the epoch"
        "epoch: record.epoch.saturating_add(1)," => "epoch: record.epoch,";
    "uploads/claim.rs": "the checkpoint of the record is forgotten"
        "checkpoint: Checkpoint::from(self.record.checkpoint)," => "checkpoint: Checkpoint::from(None),";
    "uploads/claim.rs": "a reopen that fails costs what was acknowledged"
        "upload.suspend(fault, cx);" => "upload.fail(fault.code(), AbortReason::Storage(fault), cx);";
    "uploads/claim.rs": "a lease is not renewed while the writer is reopened"
        "if !self.keeper.wants(target, interval, renew, cx.now) {\n            return true;" => "if !self.keeper.wants(target, interval, renew.saturating_mul(9999), cx.now) {\n            return true;";
    "upload/cleanup.rs": "a record of an older epoch is ours"
        "record.epoch == self.epoch" => "record.epoch >= self.epoch";
    "upload/cleanup.rs": "a record of another holder is ours"
        "lease.boot == holder.boot && lease.session == holder.session" => "lease.boot != holder.boot || lease.session >= holder.session.min(lease.session)";
    "upload/cleanup.rs": "a lost answer leaves the record behind"
        "StoreEvent::Conflict | StoreEvent::Failed if self.rounds < ROUNDS_MAX => {" => "StoreEvent::Conflict | StoreEvent::Failed if self.rounds > ROUNDS_MAX => {";
    "upload/cleanup.rs": "a record of another upload of the ref is ours"
        "record.epoch == self.epoch && *record.birth == *self.registration" => "record.epoch == self.epoch";
    "upload/cleanup.rs": "an ended upload keeps its record"
        "Standing::At(version) => self.remove(entry, version, effects)," => "Standing::At(_) => {}";
    "upload/cleanup.rs": "an upload is undone although the store says it is another's"
        "StoreEvent::Found(_) => return self.leave(entry, effects)," => "StoreEvent::Found(_) => return self.undo(entry, effects),";
    "upload/cleanup.rs": "an upload is undone although the store does not say whose it is"
        "StoreEvent::Conflict | StoreEvent::Failed => return self.leave(entry, effects)," => "StoreEvent::Conflict | StoreEvent::Failed => return self.undo(entry, effects),";
    "upload/cleanup.rs": "a mark does not take the place of the record"
        "remains: mark.map_or(Remains::Nothing, Remains::Mark)," => "remains: mark.filter(|_| false).map_or(Remains::Nothing, Remains::Mark),";
    "upload/cleanup.rs": "a writer is aborted before the mark is written"
        "            Remains::Mark(_) | Remains::Marking(_) => self.look(entry, effects)," => "            Remains::Mark(_) | Remains::Marking(_) => drop(self.undo(entry, effects)),";
    "uploads/claim.rs": "a holder of another process is not thought of"
        "slot.shared_store && record.lease" => "slot.shared_store && false && record.lease";
    "uploads/offer.rs": "the size is not checked (RV-12)"
        "most.min(slot.max_file_size).min(bytes_max)" => "most.min(slot.max_file_size + 99).min(bytes_max)";
    "uploads/offer.rs": "a registration that was allowed too late begins while the server restarts"
        "        if self.stage != Stage::Open {\n            // The" => "        if self.stage == Stage::Gone {\n            // The";
    "uploads/offer.rs": "entries are not counted"
        "if self.count(&slot.name) >= slot.max_entries as usize {" => "if self.count(&slot.name) > slot.max_entries as usize {";
    "uploads/offer.rs": "a live ref is registered anew"
        "} else if let Some(id) = self.find(upload) {" => "} else if let Some(id) = self.find(upload).filter(|_| false) {";
    "uploads/offer.rs": "a registration behind a cancel is forgotten"
        "        if let Some(entry) = self.behind.remove(&upload)\n" => "        if let Some(entry) = self.behind.remove(&upload).filter(|_| false)\n";
    "uploads/reach.rs": "who lost the race takes from a later one"
        ".filter(|_| !is_overtaken)" => ".filter(|_| !is_overtaken || true)";
    "uploads/reach/claiming.rs": "an opened writer is forgotten"
        "if !claim.record.opened {" => "if claim.offset < u64::MAX {";
    "uploads/reach/claiming.rs": "a head that comes again is not judged again"
        "let writer = claim.reopened();" => "let writer = Writer::OPEN;";
    "uploads/reach/claiming.rs": "an unparked upload forgets its checksum"
        "upload.crc = parked.crc;" => "";
    "uploads/reach/claiming.rs": "an unparked upload goes on at the durable offset"
        "upload.entry.bytes_received = parked.received;\n                (upload.taken, upload.durable) = (parked.received, parked.durable);" => "upload.entry.bytes_received = parked.durable;\n                (upload.taken, upload.durable) = (parked.durable, parked.durable);";
    "uploads/reach/claiming.rs": "an unparked upload forgets its newest checkpoint"
        "let newest = parked.checkpoint;" => "let newest = upload.checkpoint.value().cloned();";
    "uploads/reach/claiming.rs": "an unparked upload is counted twice"
        "upload.token = parked.token;" => "std::mem::forget(parked.token);";
    "uploads/reach/claiming.rs": "a file found closed is as long as a record says that is older than its length"
        "let Some(size) = claim.record.length.known() else {" => "let Some(size) = claim.record.length.known().or(Some(claim.offset)) else {";
    "uploads/reach/claiming.rs": "a file found closed has the checksum of its prefix"
        "upload.crc = PrefixCrc::from(size, upload.file_crc32c);" => "upload.file_crc32c = upload.crc.end().crc;";
    "uploads/reach.rs": "a resume goes on without the record"
        "            (Stage::Claiming(claim), StoreEvent::Failed) => {\n" => "            (Stage::Claiming(_), StoreEvent::Failed) if true => self.claimed(id, cx),\n            (Stage::Claiming(claim), StoreEvent::Failed) => {\n";
    "uploads/reach.rs": "what is being taken over ends without a writer (its bytes stay)"
        "Stage::Claiming(claim) | Stage::Reopening(claim) => claim.then = Then::Cancel," => "Stage::Claiming(claim) | Stage::Reopening(claim) => { claim.record.opened = false; claim.then = Then::Cancel; }";
    "uploads/reach.rs": "a resume tells the wrong checksum"
        "crc32c: upload.crc.end().crc," => "crc32c: upload.crc.end().crc.map(|crc| crc ^ 1),";
    "uploads/reach.rs": "nobody is asked about a resume"
        "if slot.authorize && self.continues() && cleared == Cleared::Nothing =>" => "if slot.authorize && self.cancels() && cleared == Cleared::Nothing =>";
    "uploads/reach.rs": "a store that fails makes uploads unknown (RS-6)"
        "(Stage::Reading(_), StoreEvent::Failed) => Step::Answered(Answer::Unreadable)," => "(Stage::Reading(_), StoreEvent::Failed) => Step::Answered(Answer::NotFound),";
    "uploads/reach.rs": "any record is a receipt"
        "Asks::Receipt if !record.phase.is_stored() => Step" => "Asks::Receipt if record.phase == RecordPhase::Completing => Step";
    "uploads/takeover.rs": "a resume is not answered"
        "                    Then::Continue => {\n                        if upload.stay == Stay::Held {" => "                    Then::Continue => {\n                        if upload.stay.is_gone() {";
    "uploads/takeover.rs": "a cancelled claim is continued"
        "Then::Cancel => drop(upload.cancel(cx))," => "Then::Cancel => upload.advance(cx),";
    "uploads/takeover.rs": "a claim counts in no slot"
        "        if let Some(slot) = &after {\n            self.count_up(slot);" => "        if let Some(slot) = after.as_ref().filter(|_| false) {\n            self.count_up(slot);";
    "window.rs": "the window forgets the content gate"
        "floor: chunk.saturating_add(chunk.max(u64::from(head_bytes)))," => "floor: chunk.saturating_add(chunk.max(u64::from(head_bytes) / 99)),";
    "window.rs": "credit goes back"
        "self.credit = self.credit.max(taken.saturating_add(size));" => "self.credit = taken.saturating_add(size);";
    "window.rs": "credit is never granted anew"
        "self.credit = self.credit.max(taken.saturating_add(size));" => "self.credit = self.credit.max(size.max(taken.min(1)));";
    "window.rs": "a short window has no floor"
        ".max(self.floor)" => ".max(self.floor.min(1))";
    "visit/steps.rs": "a request reaches for its upload without end"
        "self.set_progress(Progress::Reached);" => "";
    "visit/steps.rs": "the whole length is told of a file that is not stored"
        "if ends == Ends::AtLength && self.is_whole(entry) {" => "if false {";
    "visit/steps.rs": "content of another offset is appended"
        "if content.at != self.received(entry) {" => "if content.at > self.received(entry) {";
    "unclaimed.rs": "a live loan is lent a second time"
        "                if left > 0 {" => "                if left > u64::MAX - 1 {";
    "unclaimed.rs": "an attempt that is over commits"
        "unclaimed.attempts == loan.attempt" => "unclaimed.attempts >= loan.attempt";
    "unclaimed.rs": "a live loan is removed"
        "RecordPhase::Lent if self.lent_for(by, unix_ms) == 0 => {}" => "RecordPhase::Lent if self.lent_for(by, unix_ms) < u64::MAX => {}";
    "unclaimed.rs": "each attempt has another take id"
        "unclaimed.take_id.as_deref().unwrap_or(take_id)" => "Some(take_id).unwrap_or(take_id)";
    "unclaimed.rs": "attempts are not counted"
        "attempt: unclaimed.attempts.saturating_add(1)," => "attempt: unclaimed.attempts.max(1),";
    "unclaimed.rs": "what was taken waits again"
        "self.settle(RecordPhase::Taken, unix_ms, |_| {})" => "self.settle(RecordPhase::Waiting, unix_ms, |_| {})";
    "unclaimed.rs": "the lost answer of a commit is a loss"
        "RecordPhase::Taken if self.is_of(loan) => Settlement::Done," => "RecordPhase::Taken if self.is_of(loan) => Settlement::Lost,";
    "unclaimed.rs": "the record of what waits goes with its time, and its file stays"
        "Duration::from_millis(left).saturating_add(OVERDUE_KEPT)" => "Duration::from_millis(left)";
    "unclaimed.rs": "the record of what ended goes before its file"
        "RecordPhase::Ended if !self.result.is_null() => record_ttl.saturating_add(OVERDUE_KEPT)," => "RecordPhase::Ended if !self.result.is_null() => record_ttl / 8,";
    "unclaimed.rs": "the record of an unfinished upload goes with its time, and its bytes stay"
        "                record_ttl.saturating_add(OVERDUE_KEPT)\n" => "                record_ttl\n";
    "expiry.rs": "an upload expires before its time"
        "|| unix_ms < until ||" => "|| unix_ms < until / 2 ||";
    "expiry.rs": "an upload expires under its holder, whose store comes back"
        "    lease_ttl.max(SAVED_WITHIN)" => "    lease_ttl.min(Duration::ZERO)";
    "expiry.rs": "the claim of an expired upload forgets where its bytes are"
        "            lease: None,\n            unclaimed: Some" => "            lease: None,\n            checkpoint: None,\n            unclaimed: Some";
    "expiry.rs": "an expired upload is claimed and never removed"
        "self.phase == RecordPhase::Ended && self.checkpoint.is_some()" => "self.phase == RecordPhase::Ended && self.checkpoint.is_none()";
    "upload/image.rs": "an upload is created outside of its owner's limit"
        "let quota = if !self.has_begun() {" => "let quota = if false {";
    "upload/image.rs": "a record counts for nothing"
        "charge: charge(target.phase, self.entry.length, target.offset)," => "charge: charge(RecordPhase::Complete, self.entry.length, target.offset),";
    "uploads/claim.rs": "an upload that is taken over counts for nothing"
        "(record.charge(), record.kept(limits, cx.now))" => "(crate::Charge::Nothing, record.kept(limits, cx.now))";
    "tally.rs": "a process counts what its owners gave back"
        "count_down(&self.of.uploads);" => "let _ = &self.of;";
    "unclaimed.rs": "what waited long enough is lent"
        "RecordPhase::Waiting if !self.is_overdue(unix_ms) => {}" => "RecordPhase::Waiting if unix_ms > 0 => {}";
    "unclaimed.rs": "what waits expires before its time"
        "unclaimed.until_unix_ms <= unix_ms)" => "unclaimed.until_unix_ms <= unix_ms.saturating_add(2_000))";
    "unclaimed.rs": "a dead process of a private store keeps what it was lent"
        "by.shared_store || lease.boot == by.holder.boot" => "by.shared_store || !lease.boot.is_empty()";
    "unclaimed.rs": "a live process of a shared store keeps nothing"
        "by.shared_store || lease.boot == by.holder.boot" => "lease.boot == by.holder.boot";
    "unclaimed.rs": "what was given back is not found again"
        "RecordPhase::Waiting if !self.is_overdue(unix_ms) => {}" => "RecordPhase::Waiting if !self.is_overdue(unix_ms) && self.unclaimed.as_ref().is_some_and(|it| it.attempts == 0) => {}";
    "unclaimed.rs": "what was removed or refused is lent again"
        "RecordPhase::Waiting if !self.is_overdue(unix_ms) => {}" => "RecordPhase::Waiting | RecordPhase::Ended if !self.is_overdue(unix_ms) => {}";
    "unclaimed.rs": "a commit is announced before its record is written"
        "                self.settle(RecordPhase::Taken, unix_ms, |_| {})" => "                Settlement::Done";
    "unclaimed.rs": "each loan makes an upload wait longer"
        "        change(&mut unclaimed);" => "        change(&mut unclaimed);\n        unclaimed.until_unix_ms = unclaimed.until_unix_ms.saturating_add(1_000);";
    "uploads/claim.rs": "who takes an upload over writes the record of another registration"
        "registration: record.birth.as_str().into()," => "registration: Arc::default(),";
    "upload/image.rs": "a finished upload waits outside of its owner's limit"
        "        } else if is_waiting {" => "        } else if false {";
    "unclaimed.rs": "the target of a move is forgotten with the loan"
        "        change(&mut unclaimed);" => "        change(&mut unclaimed);\n        unclaimed.target = unclaimed.target.filter(|_| phase == RecordPhase::Lent);";
    "unclaimed.rs": "a step of a loan is written under another's"
        "RecordPhase::Lent if self.is_of(loan) => {\n                self.settle(RecordPhase::Waiting" => "RecordPhase::Lent if loan.attempt > 0 => {\n                self.settle(RecordPhase::Waiting";
    "record.rs": "a finished upload that is lent counts for nothing"
        "RecordPhase::Waiting | RecordPhase::Lent => Charge::Waiting(length.max()),\n        RecordPhase::Complete" => "RecordPhase::Waiting => Charge::Waiting(length.max()),\n        RecordPhase::Lent | RecordPhase::Complete";
    "record.rs": "a finished upload that was taken still counts"
        "RecordPhase::Waiting | RecordPhase::Lent => Charge::Waiting(length.max()),\n        RecordPhase::Complete | RecordPhase::Taken" => "RecordPhase::Waiting | RecordPhase::Lent | RecordPhase::Taken => Charge::Waiting(length.max()),\n        RecordPhase::Complete";
}
