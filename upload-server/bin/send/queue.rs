//! What is still to be sent, and by how many workers.

use std::collections::VecDeque;

use super::{
    reader::SMALL_BYTES,
    sources::{Kind, Source},
};

/// Files that are sent at a time.
const FILES: usize = 4;

/// Small files that are sent at a time besides: each of them waits for the disk of the server, which takes as long
/// for many as for one. With the others they are fewer than an owner may have by default.
const MORE_SMALL: usize = 44;

/// For every so many small files there is a worker more.
const SMALL_PER_WORKER: usize = 8;

/// Which files a worker takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Takes {
    Any,
    Small,
}

/// What is still to be sent.
pub(super) struct Queue {
    small: VecDeque<Source>,
    others: VecDeque<Source>,
    /// How many files at a time, if that was said; then they are sent in the order in which they were named.
    jobs: Option<usize>,
}

impl Queue {
    pub(super) fn new(sources: Vec<Source>, jobs: Option<usize>) -> Self {
        let is_small = |source: &Source| jobs.is_none() && is_small(source);
        let (small, others): (Vec<_>, Vec<_>) = sources.into_iter().partition(is_small);
        Self {
            small: small.into(),
            others: others.into(),
            jobs,
        }
    }

    /// Returns what each worker takes.
    pub(super) fn workers(&self) -> Vec<Takes> {
        let files = self.small.len().saturating_add(self.others.len());
        let any = self.jobs.unwrap_or(FILES).min(files);
        let more = match self.jobs {
            Some(_) => 0,
            None => (self.small.len() / SMALL_PER_WORKER).min(MORE_SMALL),
        };
        let mut workers = vec![Takes::Any; any];
        workers.resize(any.saturating_add(more), Takes::Small);
        workers
    }

    pub(super) fn is_empty(&self) -> bool {
        self.small.is_empty() && self.others.is_empty()
    }

    /// Takes the next file; the large ones first, so that none of them is sent alone at the end.
    pub(super) fn next(&mut self, takes: Takes) -> Option<Source> {
        let other = match takes {
            Takes::Any => self.others.pop_front(),
            Takes::Small => None,
        };
        other.or_else(|| self.small.pop_front())
    }

    /// Puts a file back that has to wait.
    pub(super) fn put_back(&mut self, source: Source) {
        match self.jobs.is_none() && is_small(&source) {
            true => self.small.push_front(source),
            false => self.others.push_front(source),
        }
    }

    /// Takes all that is left.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = Source> + use<> {
        let (small, others) = (&mut self.small, &mut self.others);
        std::mem::take(others)
            .into_iter()
            .chain(std::mem::take(small))
    }
}

fn is_small(source: &Source) -> bool {
    source.kind == Kind::File && source.size <= SMALL_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(sizes: &[u64]) -> Vec<Source> {
        let source = |size: &u64| Source {
            path: "a".into(),
            kind: Kind::File,
            name: "a".to_owned(),
            relative_path: None,
            size: *size,
        };
        sizes.iter().map(source).collect()
    }

    #[test]
    fn many_small_files_have_more_workers_unless_a_number_is_said() {
        let workers = |sizes: &[u64], jobs| Queue::new(sources(sizes), jobs).workers();
        assert_eq!(workers(&[1; 1000], None).len(), FILES + MORE_SMALL);
        assert_eq!(workers(&[1; 1000], Some(2)), [Takes::Any; 2]);
        assert_eq!(workers(&[1, 2, 3], None), [Takes::Any; 3]);
        assert_eq!(workers(&[SMALL_BYTES + 1; 1000], None), [Takes::Any; FILES]);
    }

    #[test]
    fn files_keep_their_order_where_a_number_is_said() {
        let mut queue = Queue::new(sources(&[1, SMALL_BYTES + 1, 2]), Some(1));
        let first = queue.next(Takes::Any).expect("the first");
        queue.put_back(first);
        let left: Vec<_> = queue.take_all().map(|source| source.size).collect();
        assert_eq!(left, [1, SMALL_BYTES + 1, 2]);
    }

    #[test]
    fn every_file_is_taken_once() {
        let large = SMALL_BYTES + 1;
        let mut queue = Queue::new(sources(&[1, large, 2, 3]), None);
        let first = queue.next(Takes::Any).expect("the large one");
        assert_eq!(first.size, large);
        let small = queue.next(Takes::Small).expect("a small one");
        assert_eq!(small.size, 1);
        queue.put_back(small);
        queue.put_back(first);
        let left: Vec<_> = queue.take_all().map(|source| source.size).collect();
        assert_eq!(left, [large, 1, 2, 3]);
        assert!(queue.next(Takes::Any).is_none() && queue.is_empty());
    }
}
