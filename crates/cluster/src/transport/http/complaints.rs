//! The same complaint is logged now and then, not with each of the five hellos a second that meet it.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use crate::limits;

/// What was complained about lately.
#[derive(Default)]
pub struct Complaints(Mutex<HashMap<String, Instant>>);

impl Complaints {
    /// Whether it is time to say this (again).
    pub fn due(&self, what: String) -> bool {
        let now = Instant::now();
        let mut said = self.0.lock();
        said.retain(|_, when| now.duration_since(*when) < limits::COMPLAIN_EVERY);
        // With so many different ones there is somebody who wants to fill the log.
        if said.contains_key(&what) || said.len() >= limits::COMPLAINTS {
            return false;
        }
        said.insert(what, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_said_once_and_not_too_many_of_them() {
        let c = Complaints::default();
        assert!(c.due("a".into()) && !c.due("a".into()) && c.due("b".into()));
        let said = (0..10 * limits::COMPLAINTS).filter(|i| c.due(i.to_string())).count();
        assert_eq!(said, limits::COMPLAINTS - 2);
    }
}
