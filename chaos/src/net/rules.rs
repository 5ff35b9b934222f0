//! What happens to the packets between two stations, one way. Pure data: the switch asks, faults change it.

use std::time::Duration;

/// One direction between two stations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Nothing gets through.
    pub(crate) cut: bool,
    /// Everything takes that much longer.
    pub(crate) delay: Duration,
    /// Of a thousand packets, how many vanish.
    pub(crate) lost_permille: u16,
}

/// All directions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rules {
    stations: usize,
    links: Vec<Link>,
}

impl Rules {
    /// So many stations that all reach each other.
    pub(crate) fn new(stations: usize) -> Self {
        Self { stations, links: vec![Link::default(); stations * stations] }
    }

    /// The direction from one station to another.
    pub(crate) fn link(&self, from: usize, to: usize) -> Link {
        self.links.get(from * self.stations + to).copied().unwrap_or_default()
    }

    /// Changes one direction; none where there is no such station.
    pub(crate) fn change(&mut self, from: usize, to: usize, change: impl Fn(&mut Link)) {
        if from < self.stations && to < self.stations {
            change(&mut self.links[from * self.stations + to]);
        }
    }

    /// Changes both directions between each of these and each of those, itself left out.
    pub(crate) fn between(&mut self, these: &[usize], those: &[usize], change: impl Fn(&mut Link)) {
        for one in these {
            for other in those.iter().filter(|other| *other != one) {
                self.change(*one, *other, &change);
                self.change(*other, *one, &change);
            }
        }
    }

    /// Everything is as it was at first.
    pub(crate) fn heal(&mut self) {
        self.links.fill(Link::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(link: &mut Link) {
        link.cut = true;
    }

    #[test]
    fn one_way_is_one_way_and_a_partition_both() {
        let mut rules = Rules::new(4);
        rules.change(0, 1, cut);
        assert!(rules.link(0, 1).cut && !rules.link(1, 0).cut);
        rules.heal();
        rules.between(&[0, 1], &[0, 1, 2], cut);
        assert!(rules.link(0, 2).cut && rules.link(2, 1).cut && rules.link(1, 0).cut);
        assert!(!rules.link(0, 3).cut && !rules.link(3, 2).cut && !rules.link(1, 1).cut);
        rules.heal();
        assert_eq!(rules, Rules::new(4));
    }

    #[test]
    fn stations_that_do_not_exist_change_nothing() {
        let mut rules = Rules::new(2);
        rules.change(0, 2, cut);
        rules.change(5, 0, cut);
        assert_eq!(rules, Rules::new(2));
    }
}
