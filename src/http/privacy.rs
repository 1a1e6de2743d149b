//! `/privacy/…`: what the law asks for, for the holders of keys with the scope `privacy`. The notice, for everybody, is in
//! `notice.rs`.

pub mod consents;
