//! Prints a histogram as Prometheus does: `{count:5, sum:2.5, [-1,-0.5):2, (0.5,1]:3}`. Buckets that reach into the zero bucket are
//! written whole.

use std::fmt;

use crate::histogram::Histogram;

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = lang::number::general;
        write!(f, "{{count:{}, sum:{}", number(self.count), number(self.sum))?;
        let all = self.negative_buckets().rev().chain([self.zero_bucket()]).chain(self.positive_buckets());
        for b in all.filter(|b| b.count != 0.0) {
            let (open, close) = (if b.lower_inclusive { '[' } else { '(' }, if b.upper_inclusive { ']' } else { ')' });
            write!(f, ", {open}{},{}{close}:{}", number(b.lower), number(b.upper), number(b.count))?;
        }
        f.write_str("}")
    }
}
