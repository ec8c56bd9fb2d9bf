//! Reads chunks again, with a reader that knows the format from its description alone.

use proptest::prelude::*;

use super::*;

/// Bits, the highest of a byte first.
struct Reader<'a>(&'a [u8], usize);

impl Reader<'_> {
    fn bit(&mut self) -> u64 {
        self.1 += 1;
        u64::from(self.0[(self.1 - 1) / 8] >> (7 - (self.1 - 1) % 8) & 1)
    }
    fn bits(&mut self, n: u32) -> u64 {
        (0..n).fold(0, |v, _| v << 1 | self.bit())
    }
    fn signed(&mut self, n: u32) -> i64 {
        let v = self.bits(n);
        if n < 64 && v > 1 << (n - 1) { v as i64 - (1 << n) } else { v as i64 }
    }
    fn uvarint(&mut self) -> u64 {
        let mut v = 0;
        for i in 0.. {
            let b = self.bits(8);
            v |= (b & 0x7f) << (7 * i);
            if b < 0x80 {
                break;
            }
        }
        v
    }
    fn double(&mut self) -> f64 {
        f64::from_bits(self.bits(64))
    }
    /// The width of the number that follows: 0 for none.
    fn width(&mut self) -> u32 {
        let mut ones = 0;
        while ones < 8 && self.bit() == 1 {
            ones += 1;
        }
        [0, 3, 6, 9, 12, 18, 25, 56, 64][ones]
    }
    fn int(&mut self) -> i64 {
        let w = self.width();
        if w == 0 { 0 } else { self.signed(w) }
    }
    fn uint(&mut self) -> u64 {
        let w = self.width();
        self.bits(w)
    }
    fn spans(&mut self) -> Vec<(i64, u64)> {
        let n = self.uint();
        let span = |r: &mut Self| {
            let length = r.uint();
            (r.int(), length)
        };
        (0..n).map(|_| span(self)).collect()
    }
}

/// The floats of a chunk: times and bits.
pub(in super::super) fn read_floats(chunk: &[u8]) -> Vec<(i64, u64)> {
    let mut r = Reader(chunk, 0);
    let n = r.bits(16);
    let mut out: Vec<(i64, u64)> = vec![];
    let (mut time, mut delta, mut value, mut leading, mut width) = (0i64, 0i64, 0u64, 0, 0);
    for i in 0..n {
        if i == 0 {
            time = zigzag(r.uvarint());
            value = r.bits(64);
            out.push((time, value));
            continue;
        }
        if i == 1 {
            delta = r.uvarint() as i64;
        } else {
            let mut ones = 0;
            while ones < 4 && r.bit() == 1 {
                ones += 1;
            }
            let change = match ones {
                0 => 0,
                n => r.signed([14, 17, 20, 64][n - 1]),
            };
            delta = delta.wrapping_add(change);
        }
        time = time.wrapping_add(delta);
        if r.bit() == 1 {
            if r.bit() == 1 {
                leading = r.bits(5) as u32;
                width = match r.bits(6) as u32 {
                    0 => 64,
                    w => w,
                };
            }
            value ^= r.bits(width) << (64 - leading - width);
        }
        out.push((time, value));
    }
    assert!(r.1.div_ceil(8) == chunk.len(), "nothing is left over");
    out
}

/// What a chunk of one histogram says, for people.
pub(in super::super) fn read_histogram(encoding: Encoding, chunk: &[u8]) -> String {
    let mut r = Reader(chunk, 0);
    assert_eq!(r.bits(16), 1);
    let hint = r.bits(8) >> 6;
    let threshold = match r.bits(8) {
        0 => 0.0,
        255 => r.double(),
        e => f64::powi(2.0, e as i32 - 244),
    };
    let schema = r.int();
    let (positive, negative) = (r.spans(), r.spans());
    let bound = |r: &mut Reader<'_>| match r.uint() {
        0 => r.double(),
        v => (v - 1) as f64 / 1000.0,
    };
    let bounds: Vec<f64> = if schema == CUSTOM { (0..r.uint()).map(|_| bound(&mut r)).collect() } else { vec![] };
    let time = r.int();
    let n = |spans: &[(i64, u64)]| spans.iter().map(|s| s.1).sum::<u64>();
    let mut number = |is_signed: bool| match encoding {
        Encoding::FloatHistogram => r.double().to_string(),
        _ if is_signed => r.int().to_string(),
        _ => r.uint().to_string(),
    };
    let (count, zero) = (number(false), number(false));
    let sum = r.double();
    let mut numbers = |n: u64| {
        let all: Vec<String> =
            (0..n).map(|_| if encoding == Encoding::FloatHistogram { r.double().to_string() } else { r.int().to_string() }).collect();
        all.join(" ")
    };
    let (p, g) = (numbers(n(&positive)), numbers(n(&negative)));
    assert!(r.1.div_ceil(8) == chunk.len(), "nothing is left over");
    format!("@{time} {count} {zero} {sum} hint {hint} schema {schema} {threshold} {positive:?} {p} {negative:?} {g} {bounds:?}")
}

/// Longer and longer steps of time, and values that share many bits, few or none.
#[test]
fn floats_are_read_again() {
    let times = [-5i64, 0, 15_000, 30_000, 30_001, 100_000, 1_000_000, 5_000_000, i64::MAX / 2, i64::MAX];
    let values = [0.0, 1.0, 1.0, 2.0, -0.5, 0.1, f64::NAN, f64::from_bits(STALE_NAN_BITS), f64::INFINITY, f64::from_bits(1)];
    let samples: Vec<(i64, f64)> = times.into_iter().zip(values).collect();
    for n in 0..=samples.len() {
        let wanted: Vec<(i64, u64)> = samples[..n].iter().map(|s| (s.0, s.1.to_bits())).collect();
        assert_eq!(read_floats(&floats(&samples[..n])), wanted);
    }
    // What Prometheus' own encoder makes of the same.
    let chunk = floats(&[(1000, 1.5), (16_000, 2.5), (31_010, 2.5)]);
    assert_eq!(chunk, [0, 3, 0xd0, 0x0f, 0x3f, 0xf8, 0, 0, 0, 0, 0, 0, 0x98, 0x75, 0xc2, 0x6f, 0xff, 0xe0, 2, 0x80]);
}

/// A message, and what its chunk says.
fn histograms() -> Vec<(Vec<u8>, &'static str)> {
    use crate::proto::Writer;
    let span = |w: &mut Writer, number, offset: i64, length| {
        w.message(number, |w| {
            w.varint(1, ((offset << 1) ^ (offset >> 63)) as u64);
            w.varint(2, length);
        });
    };
    let mut whole = Writer::default();
    whole.varint(1, 100);
    whole.double(3, 7.5);
    whole.varint(4, 1);
    whole.double(5, 1.0 / 1024.0);
    whole.varint(6, 1);
    span(&mut whole, 8, -2, 1);
    whole.varint(9, 2);
    span(&mut whole, 11, -1, 2);
    span(&mut whole, 11, 300, 1);
    // 3, -40 and 70,000, packed.
    whole.bytes(12, &[6, 79, 0xe0, 0xc5, 0x08]);
    whole.varint(14, 1);
    let mut float = Writer::default();
    float.double(2, 4.5);
    float.double(3, f64::NEG_INFINITY);
    float.varint(4, 16);
    float.double(5, 1e-128);
    float.double(7, 0.5);
    span(&mut float, 11, 0, 2);
    float.bytes(13, &[1.5f64, 2.5].map(f64::to_le_bytes).concat());
    float.varint(14, 3);
    let mut custom = Writer::default();
    custom.varint(1, 3);
    custom.double(3, 1.0);
    custom.varint(4, 105);
    span(&mut custom, 11, 0, 1);
    custom.varint(12, 6);
    custom.bytes(16, &[-1.0f64, 0.0, 0.005, 1.0 / 3.0, 33_554.43, 1e9].map(f64::to_le_bytes).concat());
    let mut ended = whole.out.clone();
    let mut w = Writer::default();
    w.double(3, f64::from_bits(STALE_NAN_BITS));
    ended.extend(w.out);
    vec![
        (whole.out, "@7 100 1 7.5 hint 2 schema -1 0.0009765625 [(-1, 2), (300, 1)] 3 -40 70000 [(-2, 1)] 1 []"),
        (float.out, "@7 4.5 0.5 -inf hint 3 schema 8 0.0000 [(0, 2)] 1.5 2.5 []  []"),
        (custom.out, "@7 3 0 1 hint 0 schema -53 0 [(0, 1)] 3 []  [-1.0, 0.0, 0.005, 0.3333333333333333, 33554.43, 1000000000.0]"),
        (ended, "@7 0 0 NaN hint 0 schema 0 0 []  []  []"),
        (vec![], "@7 0 0 0 hint 0 schema 0 0 []  []  []"),
    ]
}

#[test]
fn histograms_are_read_again() {
    for (message, wanted) in histograms() {
        let (encoding, bytes) = histogram(7, &message).unwrap();
        let wanted = wanted.replace("0.0000 ", &format!("{} ", 1e-128));
        assert_eq!(read_histogram(encoding, &bytes), wanted);
    }
    let (mut broken, _) = histograms().swap_remove(0);
    broken.extend([12 << 3, 1]);
    assert!(histogram(7, &broken).is_err(), "one bucket more than its spans say");
}

#[test]
fn thresholds_that_are_powers_of_two_take_a_byte() {
    for (v, bytes) in [
        (0.0, vec![0]),
        (f64::powi(2.0, -128), vec![116]),
        (f64::powi(2.0, -243), vec![1]),
        (f64::powi(2.0, 10), vec![254]),
        (f64::powi(2.0, 11), [&[255][..], &2048f64.to_be_bytes()].concat()),
        (f64::powi(2.0, -244), [&[255][..], &f64::powi(2.0, -244).to_be_bytes()].concat()),
        (3.0, [&[255][..], &3f64.to_be_bytes()].concat()),
    ] {
        let mut b = Bits::default();
        zero_threshold(v, &mut b);
        assert_eq!(b.out, bytes, "{v}");
    }
}

proptest! {
    #[test]
    fn any_floats_are_read_again(start in any::<i64>(), steps in proptest::collection::vec((0i64..1 << 40, any::<u64>(), 0u32..64), 0..FLOATS)) {
        let mut time = start;
        let samples: Vec<(i64, f64)> = steps.iter().map(|(step, bits, shift)| {
            time = time.wrapping_add(step >> (shift % 40));
            (time, f64::from_bits(bits >> shift))
        }).collect();
        let wanted: Vec<(i64, u64)> = samples.iter().map(|s| (s.0, s.1.to_bits())).collect();
        prop_assert_eq!(read_floats(&floats(&samples)), wanted);
    }

    #[test]
    fn any_whole_numbers_are_read_again(v in any::<i64>(), shift in 0u32..64) {
        let v = v >> shift;
        let mut b = Bits::default();
        b.varbit_int(v);
        b.varbit_uint(v as u64);
        let mut r = Reader(&b.out, 0);
        prop_assert_eq!((r.int(), r.uint()), (v, v as u64));
    }
}
