//! Whose a row is: the contacts in the receptionist app's rows, and which of them are of one person. No I/O here.
//!
//! The app notes a customer's contact with a conversation, or only with the appointment that the conversation led to. An e-mail
//! address tells people apart; a phone number may be a family's.

use std::collections::{BTreeMap, BTreeSet};

use super::subject::{ContactReader, Selector};

/// The e-mail addresses and phone numbers in a row. They are personal data, so the type does not implement `Debug`.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Contact {
    emails: BTreeSet<String>,
    phones: BTreeSet<String>,
}

impl Contact {
    /// Reads the texts of a row's columns, each of which may hold several contacts of either kind.
    #[must_use]
    pub fn read<'t>(reader: ContactReader, texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut contact = Self::default();
        for part in texts.into_iter().flat_map(|text| text.split([',', ';', '|', '\n'])) {
            let emails = reader.emails(part);
            // The digits of an address are no phone number.
            let phones = if emails.is_empty() { reader.phones(part) } else { Vec::new() };
            contact.emails.extend(emails);
            contact.phones.extend(phones);
        }
        contact
    }

    /// Returns whether it holds neither an e-mail address nor a phone number.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.emails.is_empty() && self.phones.is_empty()
    }

    /// Returns whether `selector` is one of its e-mail addresses and phone numbers.
    #[must_use]
    pub fn has(&self, selector: &Selector) -> bool {
        match selector {
            Selector::Email(email) => self.emails.contains(email),
            Selector::Phone(phone) => self.phones.contains(phone),
            Selector::Conversation(_) | Selector::Session(_) => false,
        }
    }

    /// Returns whether both are of one person: by e-mail address if both have one, else by phone number.
    #[must_use]
    pub fn agrees_with(&self, other: &Self) -> bool {
        match self.emails.is_empty() || other.emails.is_empty() {
            true => !self.phones.is_disjoint(&other.phones),
            false => !self.emails.is_disjoint(&other.emails),
        }
    }

    /// Adds the e-mail addresses and phone numbers of `other`.
    pub fn join(&mut self, other: &Self) {
        self.emails.extend(other.emails.iter().cloned());
        self.phones.extend(other.phones.iter().cloned());
    }

    /// Returns its e-mail addresses and phone numbers as selectors.
    pub fn selectors(&self) -> impl Iterator<Item = Selector> {
        let emails = self.emails.iter().cloned().map(Selector::Email);
        emails.chain(self.phones.iter().cloned().map(Selector::Phone))
    }
}

/// Whose a conversation is.
#[derive(Clone, PartialEq, Eq)]
pub enum Owner {
    /// Nothing tells.
    Unknown,
    /// The customer with this contact.
    Customer(Contact),
    /// Its appointments are of different people.
    Disputed,
}

impl Owner {
    /// Returns the owner of a conversation with the contact `own` and appointments with these contacts. Only a conversation
    /// without a contact of its own, or with a phone number alone, belongs to that of its appointments.
    #[must_use]
    pub fn of<'c>(own: &Contact, appointments: impl IntoIterator<Item = &'c Contact>) -> Self {
        let mut contacts: Vec<&Contact> =
            appointments.into_iter().filter(|contact| !contact.is_empty()).collect();
        if own.is_empty() {
            return Self::of_contacts(&contacts);
        }
        let mut customer = own.clone();
        if own.emails.is_empty() {
            // An appointment with the same number tells the address.
            contacts.retain(|contact| own.agrees_with(contact));
            if let Self::Customer(known) = Self::of_contacts(&contacts) {
                customer.join(&known);
            }
        }
        Self::Customer(customer)
    }

    fn of_contacts(contacts: &[&Contact]) -> Self {
        if contacts.is_empty() {
            return Self::Unknown;
        }
        let agree = contacts.iter().all(|one| contacts.iter().all(|other| one.agrees_with(other)));
        if !agree {
            return Self::Disputed;
        }
        let mut customer = Contact::default();
        for contact in contacts {
            customer.join(contact);
        }
        Self::Customer(customer)
    }

    /// Returns the customer, if it is known.
    #[must_use]
    pub const fn customer(&self) -> Option<&Contact> {
        match self {
            Self::Customer(contact) => Some(contact),
            Self::Unknown | Self::Disputed => None,
        }
    }
}

/// Tells the people behind some contacts apart.
#[derive(Default)]
pub struct People {
    /// The e-mail addresses with which each phone number occurs.
    emails_of: BTreeMap<String, BTreeSet<String>>,
}

impl People {
    /// Creates what tells the people behind `contacts` apart.
    #[must_use]
    pub fn among<'c>(contacts: impl IntoIterator<Item = &'c Contact>) -> Self {
        let mut people = Self::default();
        for contact in contacts {
            for phone in &contact.phones {
                people.emails_of.entry(phone.clone()).or_default().extend(contact.emails.iter().cloned());
            }
        }
        people
    }

    /// Returns the people behind one of the contacts, each by an e-mail address, or by a phone number that does not occur with
    /// exactly one.
    #[must_use]
    pub fn behind(&self, contact: &Contact) -> Vec<Selector> {
        if !contact.emails.is_empty() {
            return contact.emails.iter().cloned().map(Selector::Email).collect();
        }
        let mut with_email = contact
            .phones
            .iter()
            .filter_map(|phone| self.emails_of.get(phone).filter(|emails| emails.len() == 1));
        match (with_email.next().and_then(BTreeSet::first), contact.phones.first()) {
            (Some(email), _) => vec![Selector::Email(email.clone())],
            (None, Some(phone)) => vec![Selector::Phone(phone.clone())],
            (None, None) => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contact(texts: &[&str]) -> Contact {
        Contact::read(ContactReader::default(), texts.iter().copied())
    }

    fn shown(selectors: impl IntoIterator<Item = Selector>) -> Vec<String> {
        selectors.into_iter().map(|selector| selector.expose().to_owned()).collect()
    }

    #[test]
    fn the_columns_of_a_row_may_hold_several_contacts() {
        let both =
            contact(&["Ana <ana1234567@example.com>; ben@example.com", "+49 151 2345678, cleo@example.com"]);
        let all = ["ana1234567@example.com", "ben@example.com", "cleo@example.com", "+491512345678"];
        assert_eq!(shown(both.selectors()), all);
        assert!(contact(&["", "none", "12"]).is_empty());
    }

    #[test]
    fn e_mail_addresses_tell_people_apart_before_phone_numbers_do() {
        for (one, other, agree) in [
            (["ana@example.com", "+491512345678"], ["Ana@Example.com", "+442079460000"], true),
            (["ana@example.com", "+491512345678"], ["ben@example.com", "+491512345678"], false),
            (["ana@example.com", "+491512345678"], ["", "0049 151 2345678"], true),
            (["ana@example.com", ""], ["", "+491512345678"], false),
            (["", "+491512345678"], ["", "+491512345678"], true),
            (["", ""], ["ana@example.com", ""], false),
        ] {
            assert_eq!(contact(&one).agrees_with(&contact(&other)), agree, "{one:?} {other:?}");
            assert_eq!(contact(&other).agrees_with(&contact(&one)), agree, "{other:?} {one:?}");
        }
    }

    #[test]
    fn a_conversation_without_a_contact_is_that_of_its_appointments_if_they_agree() {
        let (ana, ben, phone) =
            (contact(&["ana@example.com"]), contact(&["ben@example.com"]), contact(&["+491512345678"]));
        let (none, both) = (Contact::default(), contact(&["ana@example.com", "+491512345678"]));
        assert!(Owner::of(&ana, [&ben]) == Owner::Customer(ana.clone()), "its own contact decides");
        assert!(Owner::of(&none, [&ana, &none, &both]) == Owner::Customer(both.clone()));
        assert!(Owner::of(&none, [&ana, &ben]) == Owner::Disputed);
        assert!(Owner::of(&none, [&ana, &phone]) == Owner::Disputed, "nothing tells that it is Ana's phone");
        assert!(Owner::of(&none, [&none]) == Owner::Unknown);
        assert!(Owner::of(&phone, [&both, &ben]) == Owner::Customer(both.clone()), "the number is hers");
        let son = contact(&["son@example.com", "+491512345678"]);
        assert!(
            Owner::of(&phone, [&both, &son]) == Owner::Customer(phone.clone()),
            "the number is a family's"
        );
    }

    #[test]
    fn people_behind_a_shared_phone_are_told_apart() {
        let (ana, ben) =
            (contact(&["ana@example.com", "+491512345678"]), contact(&["ben@example.com", "+491512345678"]));
        let phone = contact(&["+491512345678"]);
        let people = People::among([&ana, &phone]);
        assert_eq!(shown(people.behind(&phone)), ["ana@example.com"]);
        let people = People::among([&ana, &ben, &phone]);
        assert_eq!(shown(people.behind(&phone)), ["+491512345678"]);
        assert_eq!(shown(people.behind(&ben)), ["ben@example.com"]);
        assert!(people.behind(&Contact::default()).is_empty());
    }
}
