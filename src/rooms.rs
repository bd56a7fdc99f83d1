//! What people and servers may ask of rooms: the commands and reads behind HTTP routes and WebSocket frames alike.

pub mod publish;
