//! The ids that an invoice's JSON items know and its CSV does not.
//!
//! Pure. A line and an item are the same charge if product, group, description, both times and amount agree. Such
//! charges may really occur several times (a thing that was made again within the month has other times, but two of
//! one name and size have not), so they are joined as a multiset, in the order in which they come. Only a
//! fingerprint of each item is kept. It refuses to join by anything less.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use xxhash_rust::xxh3::Xxh3;

use super::csv::Line;
use crate::digitalocean::billing::Item;

/// Items by what makes them equal to a line; equal ones in the order in which they came.
#[derive(Debug, Default)]
pub struct Items {
    ids: BTreeMap<(u128, u32), Box<[String]>>,
    count: u32,
}

impl Items {
    /// Keeps an item's ids.
    ///
    /// # Errors
    /// Which of its figures cannot be read.
    pub fn add(&mut self, item: &Item) -> Result<(), &'static str> {
        let instant = |text: &Option<String>| match text.as_deref().map(str::trim) {
            None | Some("") => Ok(None),
            Some(text) => super::csv::instant(text).map(Some).map_err(|_| "its times"),
        };
        let key = key(
            [&item.product, &item.group_description, &item.description].map(|text| text.trim()),
            (instant(&item.start_time)?, instant(&item.end_time)?),
            super::csv::amount(item.amount.trim()).map_err(|_| "its amount")?,
        );
        let ids = [&item.resource_id, &item.resource_uuid].into_iter().flatten();
        let ids = ids.map(|id| id.trim().to_owned()).filter(|id| is_id(id));
        self.ids.insert((key, self.count), ids.collect());
        self.count += 1;
        Ok(())
    }

    /// How many there are, taken ones included.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there were none.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The ids of the next item that is this line. Each item is taken once.
    pub fn take(&mut self, line: &Line) -> Vec<String> {
        let key = key(
            [&line.product, &line.group, &line.description].map(String::as_str),
            (line.start, line.end),
            line.amount,
        );
        let next = self.ids.range((key, 0)..=(key, u32::MAX)).next();
        let next = next.map(|(place, _)| *place);
        next.and_then(|place| self.ids.remove(&place))
            .map(<[String]>::into_vec)
            .unwrap_or_default()
    }
}

/// What could be the id of anything: nothing else is worth looking for.
fn is_id(text: &str) -> bool {
    (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

type Times = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

fn key(texts: [&str; 3], (start, end): Times, amount: Decimal) -> u128 {
    let mut hash = Xxh3::new();
    for text in texts {
        hash.update(text.as_bytes());
        hash.update(&[0]);
    }
    for time in [start, end] {
        hash.update(&time.map_or(i64::MIN, |time| time.timestamp()).to_be_bytes());
    }
    // 1.5 and 1.50 are one amount.
    hash.update(&amount.normalize().serialize());
    hash.digest128()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::billing::csv::Lines;

    fn item(id: &str, description: &str, amount: &str) -> Item {
        Item {
            product: "Droplets".into(),
            group_description: String::new(),
            description: description.into(),
            amount: amount.into(),
            start_time: Some("2020-01-01T00:00:00Z".into()),
            end_time: Some("2020-02-01T00:00:00Z".into()),
            resource_id: Some(id.into()),
            resource_uuid: None,
        }
    }

    fn line(description: &str, amount: &str) -> Line {
        let text = format!(
            "product,group_description,description,hours,start,end,USD\n\
             Droplets,,{description},744,2020-01-01 00:00:00 +0000,2020-02-01 00:00:00 +0000,{amount}\n"
        );
        Lines::of(text.as_bytes()).next().unwrap().unwrap()
    }

    #[test]
    fn equal_charges_are_taken_one_by_one() {
        let mut items = Items::default();
        for (id, description, amount) in [
            ("1", "web (s)", "5.00"),
            ("2", "web (s)", "5"),
            ("3", "api (s)", "5.00"),
        ] {
            items.add(&item(id, description, amount)).unwrap();
        }
        assert_eq!(items.len(), 3);
        assert_eq!(items.take(&line("web (s)", "$5.00")), ["1"]);
        assert_eq!(items.take(&line("web (s)", "$5.00")), ["2"]);
        assert!(items.take(&line("web (s)", "$5.00")).is_empty());
        assert!(items.take(&line("api (s)", "$5.01")).is_empty());
        assert!(items.take(&line("api  (s)", "$5.00")).is_empty());
        assert_eq!(items.take(&line("api (s)", "$5.00")), ["3"]);
    }

    #[test]
    fn an_item_that_cannot_be_read_says_where() {
        let mut items = Items::default();
        assert_eq!(items.add(&item("1", "web", "five")), Err("its amount"));
        let odd = Item {
            end_time: Some("soon".into()),
            ..item("1", "web", "5")
        };
        assert_eq!(items.add(&odd), Err("its times"));
        assert!(items.is_empty());
    }
}
