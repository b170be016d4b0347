//! What changes by itself, from poll to poll.
//!
//! While the setting `volatile` is on, every answer shows other values in the fields that a fixture names
//! (serials, usage, locks, `updated_at`) and other orders of the arrays that have none. What is stored stays as
//! it is: the same seed and the same request see the same noise. It refuses to touch a field that an item
//! does not have.

use rand::seq::SliceRandom as _;
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{chance, clock, definition::Definition};

/// One field, and one way in which it changes.
#[derive(Debug, Deserialize)]
pub struct Rule {
    /// A dotted path; `[]` for every element on the way.
    pub field: String,
    #[serde(flatten)]
    pub noise: Noise,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Noise {
    /// True or false.
    Flip(bool),
    /// An instant after the world's beginning.
    Instant(bool),
    /// A whole number of at least the first and less than the second.
    Number(u64, u64),
    /// Between 0 and 1.
    Fraction(bool),
    /// The same number as other machines write it: off by less than a millionth of a millionth.
    Wobble(bool),
    /// One of these.
    OneOf(Vec<Value>),
    /// Every run of ten digits in a text is another one (the serial of a zone).
    Serial(bool),
    /// Sometimes the field is not there.
    Gone(bool),
}

/// The moment of an answer: the account's seed, and which request it is.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub seed: u64,
    pub request: u64,
}

pub fn stir(item: &mut Map<String, Value>, id: &str, definition: &Definition, moment: Moment) {
    for rule in &definition.volatile {
        let mut nth = moment.request << 12;
        each_member(item, &rule.field, &mut |holder, key| {
            nth += 1;
            let word = chance::word(moment.seed, &format!("{id} {}", rule.field), nth);
            if let Some(value) = holder.get_mut(key) {
                match noisy(&rule.noise, value, word) {
                    Some(noise) => *value = noise,
                    None => drop(holder.remove(key)),
                }
            }
        });
    }
    for path in &definition.shuffled {
        let seed = chance::word(moment.seed, &format!("{id} {path}"), moment.request);
        let mut rng = chance::generator(seed);
        each_member(item, path, &mut |holder, key| {
            if let Some(Value::Array(values)) = holder.get_mut(key) {
                values.shuffle(&mut rng);
            }
        });
    }
}

fn noisy(noise: &Noise, value: &Value, word: u64) -> Option<Value> {
    let seconds = i64::try_from(word % 31_536_000).unwrap_or_default();
    Some(match noise {
        Noise::Flip(_) => Value::from(word.is_multiple_of(2)),
        Noise::Instant(_) => Value::from(clock::rfc3339(clock::WORLD_START + seconds)),
        Noise::Number(least, end) => Value::from(least + word % end.saturating_sub(*least).max(1)),
        Noise::Fraction(_) => {
            Value::from(f64::from(u32::try_from(word >> 40).unwrap_or_default()) / 16_777_216.0)
        }
        Noise::Wobble(_) => {
            let off = f64::from(u32::try_from(word % 1_000).unwrap_or_default()) * 1e-15;
            Value::from(value.as_f64().unwrap_or_default() * (1.0 + off))
        }
        Noise::OneOf(values) => {
            let at = usize::try_from(word % u64::try_from(values.len().max(1)).unwrap_or(1)).unwrap_or(0);
            values.get(at).cloned().unwrap_or_default()
        }
        Noise::Serial(_) => Value::from(with_serial(
            value.as_str().unwrap_or_default(),
            1_700_000_000 + word % 200_000_000,
        )),
        Noise::Gone(_) if word.is_multiple_of(2) => return None,
        Noise::Gone(_) => value.clone(),
    })
}

/// The text with each run of exactly ten digits replaced.
fn with_serial(text: &str, serial: u64) -> String {
    let (mut out, mut run) = (String::with_capacity(text.len()), String::new());
    for character in text.chars().map(Some).chain([None]) {
        if let Some(digit) = character.filter(char::is_ascii_digit) {
            run.push(digit);
            continue;
        }
        if run.len() == 10 {
            out.push_str(&serial.to_string());
        } else {
            out.push_str(&run);
        }
        run.clear();
        out.extend(character);
    }
    out
}

/// Calls `act` with the object that holds the path's last member, for every such object there is.
pub fn each_member(
    object: &mut Map<String, Value>,
    path: &str,
    act: &mut dyn FnMut(&mut Map<String, Value>, &str),
) {
    let Some((first, rest)) = path.split_once('.') else {
        return act(object, path);
    };
    let (key, every) = first.strip_suffix("[]").map_or((first, false), |key| (key, true));
    match object.get_mut(key) {
        Some(Value::Object(inner)) if !every => each_member(inner, rest, act),
        Some(Value::Array(values)) if every => {
            for inner in values.iter_mut().filter_map(Value::as_object_mut) {
                each_member(inner, rest, act);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_serial_is_ten_digits_and_nothing_else() {
        let zone = "SOA a. b. 1415982609 10800\nTXT \"12345678901\" 1800";
        assert_eq!(
            with_serial(zone, 1_700_000_001),
            "SOA a. b. 1700000001 10800\nTXT \"12345678901\" 1800"
        );
        assert_eq!(with_serial("1415982609", 1_700_000_001), "1700000001");
    }

    #[test]
    fn a_path_reaches_every_element_and_nothing_that_is_not_there() {
        let mut item = json!({"pools": [{"nodes": [{"at": 1}, {"at": 2}]}, {"nodes": []}, 7], "at": 3});
        let object = item.as_object_mut().unwrap();
        each_member(object, "pools[].nodes[].at", &mut |holder, key| {
            holder.insert(key.to_owned(), json!("seen"));
        });
        each_member(object, "nothing.at", &mut |_, _| panic!("there is no such place"));
        assert_eq!(
            item,
            json!({"pools": [{"nodes": [{"at": "seen"}, {"at": "seen"}]}, {"nodes": []}, 7], "at": 3})
        );
    }
}
