//! Everything that speaks to Teleport: identities, dialing, calls, the watch, and the domain types they yield.

pub mod client;
pub mod convert;
pub mod dial;
pub mod error;
#[cfg(test)]
mod golden;
pub mod identity;
pub mod join;
mod records;
pub mod review;
pub mod right;
#[cfg(test)]
pub(crate) mod testing;
pub(crate) mod tunnel;
pub mod watch;

/// Generated from `proto/`; stops at this module's edge.
pub(crate) mod pb {
    #![allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
    /// Package `wrappers`.
    pub mod wrappers {
        tonic::include_proto!("wrappers");
    }
    /// Package `types`.
    pub mod types {
        tonic::include_proto!("types");
    }
    /// Package `proto`: the Auth service.
    pub mod proto {
        tonic::include_proto!("proto");
    }
    /// Packages `teleport.*`.
    pub mod teleport {
        /// Package `teleport.header`.
        pub mod header {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!("teleport.header.v1");
            }
        }
        /// Package `teleport.join`.
        pub mod join {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!("teleport.join.v1");
            }
        }
        /// Package `teleport.accesslist`.
        pub mod accesslist {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!("teleport.accesslist.v1");
            }
        }
        /// Package `teleport.accessmonitoringrules`.
        pub mod accessmonitoringrules {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!("teleport.accessmonitoringrules.v1");
            }
        }
        /// Package `teleport.users`.
        pub mod users {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!("teleport.users.v1");
            }
        }
        /// Package `teleport.userloginstate`.
        pub mod userloginstate {
            /// Version 1.
            pub mod v1 {
                tonic::include_proto!("teleport.userloginstate.v1");
            }
        }
        /// Package `teleport.trait`.
        pub mod r#trait {
            /// Version 1.
            pub mod v1 {
                // prost escapes the keyword in the file's name too.
                tonic::include_proto!("teleport.r#trait.v1");
            }
        }
    }
}
