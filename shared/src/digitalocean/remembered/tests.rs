//! That what is remembered never says anything else than the page, whatever has become of the listing meanwhile.

use proptest::prelude::*;

use super::*;
use crate::digitalocean::item::Members;
use crate::digitalocean::page::{Page, Piece};

const SIZE: usize = 5;

/// One thing: its id, and something about it.
type Thing = (u32, u32);

fn text((id, what): Thing) -> String {
    format!(r#"{{"id":{id},"name":"}},{{\"id\":{what}"}}"#)
}

/// Reads all pages of a listing: what is remembered now, and how many items were read.
fn read(before: &Remembered, things: &[Thing]) -> (Remembered, usize) {
    let members = Members::at(["id"]);
    let (mut now, mut read) = (Remembered::default(), 0);
    for (page, things) in things.chunks(SIZE).enumerate() {
        let items: Vec<String> = things.iter().map(|thing| text(*thing)).collect();
        let body = format!(r#"{{"things":[{}],"links":{{}}}}"#, items.join(","));
        let expected = before.from(page * SIZE);
        let page = Page::cut(body.as_bytes(), "things", &members, Some(expected)).unwrap();
        assert_eq!((page.items.len(), page.beside.len()), (things.len(), 1));
        for (piece, thing) in page.items.into_iter().zip(things) {
            match piece {
                Piece::Same(place) => {
                    assert_eq!(before.id(place), thing.0.to_string());
                    assert_eq!(before.items[place].content, i64::from(thing.1));
                    now.copy(before, place);
                }
                Piece::New(item, seal) => {
                    read += 1;
                    let id = item.raw("id").unwrap();
                    assert_eq!(id, thing.0.to_string());
                    now.push(seal.unwrap(), id, thing.1.into());
                }
            }
        }
    }
    (now, read)
}

fn things(count: u32) -> Vec<Thing> {
    (0..count).map(|id| (id, 0)).collect()
}

#[test]
fn what_is_the_same_is_not_read_and_all_else_is() {
    let before = things(23);
    let (remembered, first) = read(&Remembered::default(), &before);
    assert_eq!(first, 23);
    assert_eq!(read(&remembered, &before).1, 0);
    let mut changed = before.clone();
    for at in [0, 7, 8, 22] {
        changed[at].1 = 9;
    }
    assert_eq!(read(&remembered, &changed).1, 4);
    // One that is gone is missed once a page; one that is new, twice.
    let gone: Vec<Thing> = before.iter().copied().filter(|thing| thing.0 != 6).collect();
    assert_eq!(read(&remembered, &gone).1, 1 + 3);
    let new: Vec<Thing> = [(99, 0)].into_iter().chain(before.clone()).collect();
    assert!((5..=12).contains(&read(&remembered, &new).1));
    assert_eq!(read(&remembered, &[]).1, 0);
    let reversed: Vec<Thing> = before.iter().rev().copied().collect();
    assert!(read(&remembered, &reversed).1 > 15);
    // As pages are read anew, the next time all is as before.
    for now in [changed, gone, new, reversed] {
        let (remembered, _) = read(&remembered, &now);
        assert_eq!(read(&remembered, &now).1, 0);
    }
}

#[test]
fn only_what_the_mirror_holds_counts_as_read() {
    let before = things(12);
    let (mut remembered, _) = read(&Remembered::default(), &before);
    remembered.only(|id, content| content == 0 && id != "3" && id != "11");
    assert_eq!(read(&remembered, &before).1, 2);
    remembered.only(|_, content| content == 1);
    assert_eq!(read(&remembered, &before).1, 12);
    remembered.only(|_, _| true);
    assert_eq!(read(&remembered, &before).1, 0);
}

#[test]
fn a_listing_is_taken_out_and_put_back_by_its_kind_and_its_question() {
    let memory = Memory::default();
    let all = Collection::numbered("/v2/things", "things");
    let some = Collection::chosen("/v2/things", &[("type", "some")], "things");
    let (remembered, _) = read(&Remembered::default(), &things(3));
    memory.keep("thing", &all, remembered);
    assert_eq!(memory.take("thing", &some).items.len(), 0);
    assert_eq!(memory.take("other", &all).items.len(), 0);
    assert_eq!(memory.take("thing", &all).items.len(), 3);
    assert_eq!(memory.take("thing", &all).items.len(), 0);
}

proptest! {
    #[test]
    fn whatever_becomes_of_a_listing_is_seen(
        begin in proptest::collection::vec((0_u32..40, 0_u32..3), 0..40),
        then in proptest::collection::vec(proptest::collection::vec((0_u32..40, 0_u32..3), 0..40), 1..4),
        held in 0_u32..40,
    ) {
        let (mut remembered, _) = read(&Remembered::default(), &begin);
        for things in then {
            remembered.only(|id, _| id != held.to_string());
            let (now, count) = read(&remembered, &things);
            prop_assert!(count <= things.len());
            remembered = now;
        }
    }
}
