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
    "intake.rs": "an index seen before is taken again (RS-10)"
        "if index < self.next_index {" => "if false {";
    "intake.rs": "a chunk beyond the next one is stored (FR-5, PC-4)"
        "if index > self.next_index {" => "if false {";
    "intake.rs": "the next index is rounded up after a resume"
        "next_index: whole_chunks(received, chunk_size)," => "next_index: received.div_ceil(u64::from(chunk_size.max(1))),";
    "intake.rs": "indices begin at 0 after a resume"
        "next_index: whole_chunks(received, chunk_size)," => "next_index: 0 * u64::from(chunk_size),";
    "intake.rs": "a tenth more than declared is tolerated (PC-7)"
        "Some(end) if end <= self.size => {" => "Some(end) if end <= self.size + self.size / 10 => {";
    "intake.rs": "a second gap is not told"
        "                self.gap_told = false;" => "";
    "intake.rs": "an upload is whole whatever is missing (the silent loss)"
        "self.received == self.size" => "self.received <= self.size";
    "intake.rs": "an empty chunk does not count"
        "self.next_index = self.next_index.saturating_add(1);" => "self.next_index = self.next_index.saturating_add(u64::from(length > 0));";
    "crc.rs": "a mark past the durable offset counts"
        ".take_while(|mark| mark.offset <= durable)" => ".take_while(|mark| mark.offset <= durable + 8)";
    "crc.rs": "a mark past the durable offset is settled"
        "if mark.offset > durable {" => "if mark.offset > durable + 8 {";
    "crc.rs": "the checksum stands still"
        "crc: self.end.crc.map(|crc| append(crc, data))," => "crc: self.end.crc,";
    "crc.rs": "marks of tiny chunks are never forgotten"
        "if self.marks.len() >= MARKS_MAX {" => "if false {";
    "window.rs": "credit goes back"
        "self.credit = self.credit.max(taken.saturating_add(self.size));" => "self.credit = taken.saturating_add(self.size);";
    "window.rs": "credit is never granted anew"
        "self.credit = self.credit.max(taken.saturating_add(self.size));" => "self.credit = self.credit.max(self.size.max(taken.min(1)));";
    "window.rs": "a short window has no floor"
        "self.size = size.max(self.floor);" => "self.size = size;";
    "window.rs": "the window forgets the content gate"
        "floor: chunk.saturating_add(chunk.max(u64::from(head_bytes)))," => "floor: chunk.saturating_add(chunk.max(u64::from(head_bytes) / 99)),";
    "saver.rs": "a save in flight counts as saved"
        "self.in_flight = Some(saving);" => "self.in_flight = Some(saving); self.saved = Some(saving);";
    "saver.rs": "a save that failed counts as saved"
        "    pub(crate) fn failed(&mut self, now: Now) -> bool {\n        self.in_flight = None;" => "    pub(crate) fn failed(&mut self, now: Now) -> bool {\n        self.saved = self.in_flight.take();";
    "saver.rs": "a conflict is looked into for ever"
        "self.checking = false;\n        self.version = version;" => "self.version = version;";
    "saver.rs": "after a conflict the old version is expected"
        "self.checking = false;\n        self.version = version;" => "self.checking = false; let _ = version;";
    "saver.rs": "a changed checkpoint waits for ever"
        "Some(saved) if self.outdated || saved != target => age >= interval," => "Some(saved) if saved.offset != target.offset => age >= interval,";
    "saver.rs": "the lease is never renewed"
        "Some(_) => age >= renew," => "Some(_) => age >= renew * 1000,";
    "saver.rs": "a store that failed is never asked again"
        "at: now.after(pause)," => "at: now.after(pause * 100_000),";
    "saver.rs": "a new phase waits for the interval of progress"
        "Some(saved) if (saved.phase, saved.released) != (target.phase, target.released) => true," => "Some(saved) if (saved.phase, saved.released) != (target.phase, target.released) => age >= renew,";
    "lookup.rs": "a live lease is taken (a second tab gets in)"
        "return Judgement::Locked;" => "return Judgement::Take;";
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
        "if record.phase == RecordPhase::Complete {" => "if false {";
    "lookup.rs": "a late request of an older connection takes over"
        "let is_late = is_local && lease.session > asker.holder.session;" => "let is_late = is_local && lease.session == u64::MAX;";
    "lookup.rs": "the other holder of this process is not asked to give way"
        "if is_local && !asker.evicted {" => "if false && is_local {";
    "upload.rs": "a new holder does not raise the epoch"
        "upload.epoch = record.epoch.saturating_add(1);" => "upload.epoch = record.epoch;";
    "upload.rs": "the checkpoint of the record is forgotten"
        "upload.checkpoint = record.checkpoint;" => "";
    "upload.rs": "an opened writer is forgotten"
        "upload.opened = record.opened;" => "";
    "upload.rs": "what was received before keeps an upload from idling"
        "        match self.intake.take(index, data.len()) {" => "        self.active_at = cx.now.instant;\n        match self.intake.take(index, data.len()) {";
    "upload.rs": "an incomplete upload completes (the silent loss)"
        "if !self.intake.is_whole() {" => "if false {";
    "upload.rs": "the checksum is not compared"
        "if crc32c.is_some() && ours.is_some() && crc32c != ours {" => "if false {";
    "upload.rs": "frames count before a resume is answered"
        "self.leaving.is_none() && self.resuming.is_none() && !self.phase.is_over()" => "self.leaving.is_none() && !self.phase.is_over()";
    "upload.rs": "frames count after letting go"
        "self.leaving.is_none() && self.resuming.is_none() && !self.phase.is_over()" => "self.resuming.is_none() && !self.phase.is_over()";
    "upload.rs": "a client without credit idles"
        "            && self.has_credit();" => "            && self.window.credit() > 0;";
    "upload.rs": "the socket is read past the credit"
        "!self.phase.is_over() && self.intake.received() > self.window.credit()" => "self.phase.is_over() && self.intake.received() > self.window.credit()";
    "upload.rs": "a gap ends every upload"
        "Taken::Gap { first: true } if cx.config.plain => {" => "Taken::Gap { first: true } if cx.config.checksum => {";
    "upload/writing.rs": "the content gate lets everything pass (MB-10)"
        "Verdict::Refuse(code) => self.fail(code, AbortReason::ContentMismatch, cx)," => "Verdict::Refuse(_) => { self.step(Step::Accepted); self.has_writer = true; cx.out.push(Output::Open { entry: self.entry.id }); }";
    "upload/writing.rs": "the first held chunk is lost"
        "for data in self.held.take() {" => "for data in self.held.take().into_iter().skip(1) {";
    "upload/writing.rs": "an empty file never opens a writer (WL-19)"
        "let is_all = is_whole && (self.finish || self.held.bytes > 0);" => "let is_all = is_whole && self.held.bytes > 0;";
    "upload/writing.rs": "a short file is never judged"
        "if !(has_head || is_all) || !self.step(Step::HeadRead) {" => "if !(has_head || is_whole && self.entry.client_size == 0) || !self.step(Step::HeadRead) {";
    "upload/writing.rs": "a head that comes again is not judged again"
        "self.written >= self.head_bytes()\n" => "self.written >= self.head_bytes() / 99\n";
    "upload/writing.rs": "a reopen that fails costs what was acknowledged"
        "let is_kept = fault.is_passing() || self.phase == Phase::Reopening;" => "let is_kept = fault.is_passing();";
    "upload/writing.rs": "the application is not asked again before the file is stored"
        "!self.slot.authorize || self.allowed == Allowed::Yes" => "!self.slot.authorize || self.allowed != Allowed::Unasked";
    "upload/writing.rs": "a withdrawn right stores the file"
        "Err(code) => self.fail(code, AbortReason::Cancelled, cx)," => "Err(_) => { self.allowed = Allowed::Yes; self.settle(cx); }";
    "upload/writing.rs": "close does not wait for the last byte"
        "            && self.written == self.entry.client_size\n" => "";
    "upload/writing.rs": "a writer's failure is ignored (WL-6)"
        "if !self.has_writer || self.phase.after(Step::Fail).is_none() {" => "if self.has_writer || self.phase.after(Step::Fail).is_none() {";
    "upload/writing.rs": "passing trouble is final"
        "if is_kept && self.can_be_resumed() {" => "if false {";
    "upload/writing.rs": "an unparked upload forgets its checksum"
        "self.crc = parked.crc;" => "";
    "upload/writing.rs": "an unparked upload goes on at the durable offset"
        "self.continue_at(parked.received, parked.durable);" => "self.continue_at(parked.durable, parked.durable);";
    "upload/writing.rs": "an unparked upload forgets its newest checkpoint"
        "self.note_checkpoint(news.map_or(CheckpointNews::Absent, CheckpointNews::New));" => "let _ = news;";
    "upload/writing.rs": "an unparked upload is counted twice"
        "self.token = parked.token;" => "std::mem::forget(parked.token);";
    "upload/writing.rs": "what is received is durable"
        "self.durable = self.durable.max(durable.min(self.written));" => "self.durable = self.durable.max(durable.max(self.written));";
    "upload/writing.rs": "a checkpoint that changed is not kept"
        "                self.checkpoint = Some(checkpoint);\n                self.saver.outdate();" => "";
    "upload/writing.rs": "a checkpoint that there is no more counts as unchanged"
        "                self.checkpoint = None;\n                self.has_lost_checkpoint = true;" => "";
    "upload/keeping.rs": "a record that leads nowhere is kept"
        "let is_due = self.has_lost_checkpoint" => "let is_due = false";
    "upload/writing.rs": "a file found closed has the checksum of its prefix"
        "self.crc = Running::from(size, self.file_crc32c);" => "let _ = Running::from(size, None);";
    "upload/writing.rs": "a resume is not answered"
        "        self.active_at = cx.now.instant;\n        self.answer_resumed(cx);" => "        self.active_at = cx.now.instant;";
    "upload/keeping.rs": "registered before there is a record"
        "        if self.saver.is_enabled() {\n            self.save_when_due(cx);\n        } else {\n            self.claimed(cx);\n        }" => "        self.claimed(cx); self.save_when_due(cx);";
    "upload/keeping.rs": "the record says what was written, not what is durable"
        "let mark = self.crc.settled(self.durable);" => "let mark = self.crc.settled(self.written);";
    "upload/keeping.rs": "the record counts bytes that no checkpoint finds again"
        "if self.checkpoint.is_some() && mark.offset >= self.head_bytes() {" => "if mark.offset >= self.head_bytes() {";
    "upload/keeping.rs": "a part of a judged head is gone on from"
        "if self.checkpoint.is_some() && mark.offset >= self.head_bytes() {" => "if self.checkpoint.is_some() {";
    "upload/keeping.rs": "complete is told before the receipt is recorded"
        "        if self.saver.is_enabled() {\n            self.saver.hurry(cx.now);" => "        if false {\n            self.saver.hurry(cx.now);";
    "upload/keeping.rs": "the writer closes before the record knows"
        "|| saved.is_some_and(|saved| saved.phase == RecordPhase::Completing)" => "|| saved.is_some_and(|saved| saved.phase != RecordPhase::Complete)";
    "upload/keeping.rs": "a superseded holder goes on"
        "            self.taken_over(cx);\n        }" => "            self.saver.adopt(Some(version));\n        }";
    "upload/keeping.rs": "a receipt that another holder wrote or removed is waited for"
        "        if self.phase == Phase::Recording {" => "        if false {";
    "upload/keeping.rs": "an upload whose record vanished is given up (RS-14)"
        "                self.saver.adopt(None);\n" => "                self.superseded(cx);\n";
    "upload/keeping.rs": "a lease is kept by who let go"
        "let lease = (!target.released).then(|| Lease {" => "let lease = (!target.released || self.epoch > 0).then(|| Lease {";
    "upload/keeping.rs": "a resume goes on without the record"
        "Phase::Claiming if self.resuming.is_some() => self.refuse_locked(cx)," => "Phase::Claiming if self.resuming.is_some() => self.claimed(cx),";
    "upload/keeping.rs": "a result too large for the record never completes"
        "Phase::Recording => return self.completed(cx)," => "Phase::Recording => return,";
    "upload/leaving.rs": "a writer is parked while it writes"
        "Phase::Receiving => !self.has_writer || self.written == self.intake.received()," => "Phase::Receiving => true,";
    "upload/leaving.rs": "an upload leaves before its lease is released"
        "if self.saver.is_enabled() && self.saver.is_healthy() && !is_told {" => "if false && !is_told {";
    "upload/leaving.rs": "abort without a writer"
        "        if self.has_writer {\n            self.has_writer = false;\n            let entry = self.entry.id;" => "        {\n            self.has_writer = false;\n            let entry = self.entry.id;";
    "upload/leaving.rs": "a failed upload's writer is not aborted"
        "        if self.has_writer {\n            self.has_writer = false;\n            let entry = self.entry.id;" => "        if self.entry.id.0 == u64::MAX {\n            let entry = self.entry.id;";
    "upload/leaving.rs": "what another holder may have is undone at once (an abort that is not fenced)"
        "let end = if self.saver.has_told_writer() && self.may_have_record() {" => "let end = if false {";
    "upload/leaving.rs": "what is being taken over ends without a writer (its bytes stay)"
        "        if waits {\n            self.ending.get_or_insert(ending);\n        }\n        waits" => "        let _ = (waits, ending);\n        false";
    "upload/leaving.rs": "an upload that leaves behind a second gate is parked"
        "let is_gated = self.written < self.head_bytes();" => "let is_gated = false;";
    "undoing.rs": "a record of an older epoch is ours"
        "record.epoch == self.epoch" => "record.epoch >= self.epoch";
    "undoing.rs": "a record of another upload of the ref is ours"
        "&& *record.birth == *self.birth" => "";
    "undoing.rs": "a record of another holder is ours"
        "lease.boot == holder.boot && lease.session == holder.session" => "lease.boot != holder.boot || lease.session >= holder.session.min(lease.session)";
    "undoing.rs": "an ended upload keeps its record"
        "Standing::At(version) => self.forget(entry, version, out)," => "Standing::At(_) => {}";
    "undoing.rs": "an upload is undone although the store says it is another's"
        "StoreEvent::Found(_) => return self.leave(entry, out)," => "StoreEvent::Found(_) => return self.undo(entry, out),";
    "undoing.rs": "an upload is undone although the store does not say whose it is"
        "StoreEvent::Conflict | StoreEvent::Failed => return self.leave(entry, out)," => "StoreEvent::Conflict | StoreEvent::Failed => return self.undo(entry, out),";
    "undoing.rs": "a lost answer leaves the record behind"
        "StoreEvent::Conflict | StoreEvent::Failed if self.rounds < ROUNDS_MAX => {" => "StoreEvent::Conflict | StoreEvent::Failed if self.rounds > ROUNDS_MAX => {";
    "upload/leaving.rs": "closing the tab keeps the upload"
        "if keep && self.can_be_resumed() {" => "if (keep || true) && self.can_be_resumed() {";
    "upload/leaving.rs": "a lost connection ends what can be resumed (RS-17)"
        "if keep && self.can_be_resumed() {" => "if false && keep {";
    "upload/leaving.rs": "a finishing upload dies with its connection"
        "        if self.finish {\n            return;\n        }\n        if keep" => "        if keep";
    "upload/leaving.rs": "an old holder destroys what is the new one's"
        "        if self.has_writer {\n            self.has_writer = false;\n            cx.out.push(Output::Release {\n                entry: self.entry.id,\n            });" => "        if self.has_writer {\n            cx.out.push(Output::Abort { entry: self.entry.id, reason: AbortReason::Cancelled });";
    "upload/leaving.rs": "an old holder keeps its writer"
        "        if self.has_writer {\n            self.has_writer = false;\n            cx.out.push(Output::Release {\n                entry: self.entry.id,\n            });" => "        if self.has_writer {";
    "upload/leaving.rs": "a superseded holder tells more durable than recorded"
        "        // Durable is still only what our own record said (RESUME-2)." => "        self.saver.disable();";
    "upload/leaving.rs": "full storage throws the upload away"
        "cx.out.push(if self.phase == Phase::Opening {" => "cx.out.push(if self.phase != Phase::Opening {";
    "upload/leaving.rs": "a writer is parked under another epoch"
        "                    epoch: self.epoch,\n" => "                    epoch: self.epoch + 1,\n";
    "upload/telling.rs": "durable is told before it is recorded"
        "self.saver.saved().map_or(0, |saved| saved.offset)" => "self.durable";
    "upload/telling.rs": "durable is told to go back"
        "self.durable_told = self.durable_told.max(self.durable_known());" => "self.durable_told = self.durable_known();";
    "upload/telling.rs": "a resume grants no credit"
        "resumed.credit = numbers.credit;" => "resumed.credit = 0;";
    "upload/telling.rs": "a resume tells the wrong checksum"
        "resumed.crc32c = self.crc.end().crc.map(crc32c_hex);" => "resumed.crc32c = self.crc.end().crc.map(|crc| crc32c_hex(crc ^ 1));";
    "session/outbox.rs": "messages are sent to nobody"
        "if !self.is_gone {" => "if !self.is_gone || self.refusals == 0 {";
    "session/resume.rs": "nobody is asked about a resume"
        "if slot.authorize && !lookup.authorized => {" => "if slot.authorize && lookup.evicted && !lookup.authorized => {";
    "session/resume.rs": "who lost the race takes from a later one"
        ".filter(|_| !is_overtaken)" => ".filter(|_| !is_overtaken || true)";
    "session/resume.rs": "a store that fails makes uploads unknown (RS-6)"
        "                self.answer(lookup.upload, ResumeStatus::Locked, resuming);\n            }\n            Asks::Receipt => self.refuse(Code::StorageThrottled" => "                self.answer(lookup.upload, ResumeStatus::NotFound, resuming);\n            }\n            Asks::Receipt => self.refuse(Code::StorageThrottled";
    "session/resume.rs": "any record is a receipt"
        "(Asks::Receipt, Some((record, _, _))) if record.phase == RecordPhase::Complete => {" => "(Asks::Receipt, Some((record, _, _))) if record.layout > 0 => {";
    "session.rs": "endings are not remembered (WL-18)"
        "self.endings.remember((**snapshot).clone());" => "let _ = snapshot;";
    "session.rs": "a record of an ended upload is left behind"
        "if let Some((mut undoing, standing)) = held.undoing() {" => "if let Some((mut undoing, standing)) = held.undoing().filter(|_| false) {";
    "session.rs": "draining detaches nothing"
        "held.detach(Some(Code::Draining), cx);" => "let _ = (&held, &cx);";
    "session.rs": "frames of unknown refs are not answered (FR-12)"
        "if !known && self.endings.of(upload).is_none() {" => "if known && self.endings.of(upload).is_none() {";
    "session.rs": "a lost connection is left alone"
        "held.disconnected(reason == DisconnectReason::Lost || keeps, cx);" => "let _ = (&held, &cx, keeps);";
    "session/register.rs": "entries are not counted"
        "if self.entries_of(&slot.name) >= slot.max_entries as usize {" => "if self.entries_of(&slot.name) > slot.max_entries as usize {";
    "session/register.rs": "the size is not checked (RV-12)"
        "register.client_size <= slot.max_file_size.min(bytes_max)" => "register.client_size <= (slot.max_file_size + 99).min(bytes_max)";
    "session/register.rs": "a live ref is registered anew"
        "if let Some(held) = self.uploads.get(&upload) {" => "if let Some(held) = self.uploads.get(&upload).filter(|_| false) {";
    "tally.rs": "an owner's bytes are not limited"
        "sum.checked_add(bytes).filter(|sum| *sum <= bytes_max)" => "sum.checked_add(bytes).filter(|sum| *sum <= bytes_max.max(*sum))";
    "tally.rs": "bytes are never uncounted"
        "Some(sum.saturating_sub(self.bytes))" => "Some(sum.saturating_sub(0))";
    "tally.rs": "uploads are never uncounted"
        "Some(count.saturating_sub(1))" => "Some(count.saturating_sub(0))";
    "state.rs": "cancel while the writer closes"
        "(P::Recording, S::Fail) | (P::Closing | P::Recording, S::Cancel) => return None," => "(P::Recording, S::Fail) | (P::Recording, S::Cancel) => return None,";
    "state.rs": "an upload fails after it was published"
        "(P::Recording, S::Fail) | (P::Closing | P::Recording, S::Cancel) => return None," => "(P::Closing | P::Recording, S::Cancel) => return None,";
    "sender/feed.rs": "the sender sends past its credit"
        "let is_allowed = self.phase == SenderPhase::Verifying || end <= self.credit;" => "let is_allowed = end <= self.credit.max(end);";
    "sender/feed.rs": "the sender begins its indices anew"
        "self.next_index = u32::try_from(verify.next_index).unwrap_or(u32::MAX);" => "self.next_index = u32::try_from(verify.next_index.min(1)).unwrap_or(u32::MAX);";
    "sender/answers.rs": "the sender goes on where it believes to be"
        "                        offset: resumed.bytes_received,\n" => "                        offset: self.durable,\n";
    "sender.rs": "the sender registers again what it had registered"
        "self.is_known |= self.phase == SenderPhase::Asking;" => "self.is_known &= self.phase != SenderPhase::Asking;";
}
