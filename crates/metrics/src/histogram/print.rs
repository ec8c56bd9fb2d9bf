//! Prints a histogram as Prometheus does: `{count:5, sum:2.5, [-1,-0.5):2, (0.5,1]:3}`.

use std::fmt;

use crate::histogram::Histogram;

impl fmt::Display for Histogram {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = lang::number::format;
        write!(f, "{{count:{}, sum:{}", number(self.count), number(self.sum))?;
        for b in self.all_buckets().iter().filter(|b| b.count != 0.0) {
            let (open, close) = (if b.lower_inclusive { '[' } else { '(' }, if b.upper_inclusive { ']' } else { ')' });
            write!(f, ", {open}{},{}{close}:{}", number(b.lower), number(b.upper), number(b.count))?;
        }
        f.write_str("}")
    }
}
