//! Getting a connection to the Auth service, however Teleport is exposed.
