//! Owns: closed lists whose members have names that people write and read, and sets of such members.
//! Refuses to know: what is listed.

use crate::base::{Error, ErrorKind, Result};
use std::marker::PhantomData;

/// A member of a closed list of at most 64.
pub trait Named: Copy + Eq + 'static {
    const ALL: &'static [Self];
    /// What such a member is called in a message.
    const WORD: &'static str;

    fn name(self) -> &'static str;

    fn by_name(name: &str) -> Result<Self> {
        let unknown = || {
            let known: Vec<_> = Self::ALL.iter().map(|member| member.name()).collect();
            Error::new(ErrorKind::InvalidRequest, format!("there is no {} '{name}'; there are {}", Self::WORD, known.join(", ")))
        };
        Self::ALL.iter().copied().find(|member| member.name() == name).ok_or_else(unknown)
    }
}

/// A closed list: `enum Type, "word" { Member = "name"; }`.
macro_rules! named {
    ($(#[$outer:meta])* enum $list:ident, $word:literal { $($(#[$doc:meta])* $member:ident = $name:literal;)+ }) => {
        $(#[$outer])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $list { $($(#[$doc])* $member,)+ }

        impl super::named::Named for $list {
            const ALL: &'static [Self] = &[$(Self::$member,)+];
            const WORD: &'static str = $word;

            fn name(self) -> &'static str { match self { $(Self::$member => $name,)+ } }
        }
    };
}
pub(super) use named;

/// A set of members.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set<T>(u64, PhantomData<T>);

impl<T> Default for Set<T> {
    fn default() -> Self {
        Self(0, PhantomData)
    }
}

fn bit<T: Named>(member: T) -> u64 {
    1 << T::ALL.iter().position(|known| *known == member).unwrap_or(63)
}

impl<T: Named> Set<T> {
    pub fn all() -> Self {
        T::ALL.iter().copied().collect()
    }

    pub fn has(self, member: T) -> bool {
        self.0 & bit(member) != 0
    }

    #[must_use]
    pub fn without(self, member: T) -> Self {
        Self(self.0 & !bit(member), PhantomData)
    }

    pub fn iter(self) -> impl Iterator<Item = T> {
        T::ALL.iter().copied().filter(move |member| self.has(*member))
    }

    pub fn names(self) -> Vec<&'static str> {
        self.iter().map(Named::name).collect()
    }
}

impl<T: Named> FromIterator<T> for Set<T> {
    fn from_iter<I: IntoIterator<Item = T>>(members: I) -> Self {
        Self(members.into_iter().fold(0, |set, member| set | bit(member)), PhantomData)
    }
}
