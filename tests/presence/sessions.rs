//! One's sign-ins: seen, ended one by one, ended by others; and what one is told of it.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::client::Client;
use crate::world::{PASSWORD, SECRET, Somebody, World, somebody};

/// The next thing somebody is told about who may sign in.
async fn told(client: &mut Client) -> Value {
    client.event("security:new").await["data"].clone()
}

async fn sessions(world: &World, who: &Somebody) -> Vec<Value> {
    world.get(who, "/auth/sessions").await["sessions"].as_array().unwrap().clone()
}

fn id_of<'a>(sessions: &'a [Value], device: &str) -> &'a str {
    let found = sessions.iter().find(|session| session["device"] == device);
    found.unwrap_or_else(|| panic!("no session of {device}: {sessions:?}"))["id"].as_str().unwrap()
}

#[tokio::test]
async fn one_session_is_ended_and_the_others_hear_of_it() {
    let world = World::start(&[]);
    let on_phone = world.sign_up("asha", json!({"device": "phone"})).await;
    let mut phone = world.connect(&on_phone, Some("phone"), &["user"]).await;
    let on_laptop = world.sign_in(&on_phone.email, Some("laptop")).await;
    let new = told(&mut phone).await;
    assert_eq!((&new["kind"], &new["device"]), (&json!("signed_in"), &json!("laptop")), "{new}");
    assert_eq!((&new["unread"], &new["notification"]["type"]), (&json!(1), &json!("security")), "{new}");
    let listed = world.get(&on_phone, "/notifications").await;
    assert_eq!(listed["notifications"], json!([new["notification"]]), "it is in the list as it was heard");

    let mut laptop = world.connect(&on_laptop, Some("laptop"), &["account"]).await;
    let all = sessions(&world, &on_phone).await;
    assert_eq!(all.len(), 2, "{all:?}");
    let laptop_id = id_of(&all, "laptop").to_owned();
    assert_eq!(new["session"], laptop_id.as_str());
    let current: Vec<_> = all.iter().filter(|session| session["current"] == true).collect();
    assert_eq!((current.len(), &current[0]["device"]), (1, &json!("phone")));
    laptop.say(&json!({"type": "ping"})).await;
    laptop.until(|frame| frame["type"] == "pong").await;

    // Nobody ends another person's, nor one that there is not.
    let bela = world.sign_up("bela", json!({})).await;
    let path = format!("/auth/sessions/{laptop_id}");
    world.expect(404, Method::DELETE, &path, &bela.token, None).await;
    world.expect(404, Method::DELETE, "/auth/sessions/nonsense", &on_phone.token, None).await;

    world.expect(204, Method::DELETE, &path, &on_phone.token, None).await;
    assert_eq!(laptop.closed().await.0, 4403);
    let (status, problem) = world.ask(Method::GET, "/user/me", &on_laptop.token, None).await;
    assert_eq!((status, &problem["code"]), (StatusCode::UNAUTHORIZED, &json!("token_invalid")));
    let ended = told(&mut phone).await;
    assert_eq!((&ended["kind"], &ended["session"]), (&json!("session_ended"), &json!(laptop_id)));
    assert_eq!(sessions(&world, &on_phone).await.len(), 1);
    world.expect(404, Method::DELETE, &path, &on_phone.token, None).await;
}

#[tokio::test]
async fn a_person_is_told_of_what_they_may_not_have_done() {
    let world = World::start(&[]);
    let on_phone = world.sign_up("asha", json!({"device": "phone"})).await;
    let mut phone = world.connect(&on_phone, Some("phone"), &["user"]).await;

    // Known devices are no news; one that does not say its name is.
    world.sign_in(&on_phone.email, Some("phone")).await;
    let unnamed = world.sign_in(&on_phone.email, None).await;
    let new = told(&mut phone).await;
    assert_eq!((&new["kind"], &new["device"]), (&json!("signed_in"), &Value::Null));

    // A refresh token that two use.
    let refresh = |device: &str| {
        let body = json!({"refreshToken": unnamed.refresh, "device": device});
        world.ask(Method::POST, "/auth/refresh", "", Some(body))
    };
    assert_eq!(refresh("one").await.0, StatusCode::OK);
    assert_eq!(refresh("other").await.1["code"], "token_reused");
    let reused = told(&mut phone).await;
    assert_eq!((&reused["kind"], &reused["session"]), (&json!("token_reused"), &new["session"]));

    // A device too many.
    for number in 1..=20 {
        world.connect(&on_phone, Some(&format!("device {number}")), &[]).await.leave();
    }
    let forgotten = told(&mut phone).await;
    assert_eq!(forgotten["kind"], "device_forgotten");
    assert!(forgotten["deviceId"].is_string(), "{forgotten}");

    let change = json!({"password": "another horse", "currentPassword": PASSWORD});
    world.expect(200, Method::PATCH, "/user/me", &on_phone.token, Some(change)).await;
    assert_eq!(told(&mut phone).await["kind"], "password_changed");
    assert_eq!(sessions(&world, &on_phone).await.len(), 1, "all others have ended");
    let listed = world.get(&on_phone, "/notifications").await;
    assert_eq!((&listed["unread"], listed["notifications"].as_array().unwrap().len()), (&json!(4), 4));
}

#[tokio::test]
async fn servers_and_administrators_end_sessions() {
    let world = World::start(&[]);
    let admin = world.administrator().await;
    let asha = world.sign_up("asha", json!({"device": "phone"})).await;
    let other = world.sign_in(&asha.email, Some("tablet")).await;

    // A server closes one connection, or those of one sign-in, whose tokens stay good.
    let one = world.connect(&asha, Some("phone"), &[]).await;
    let mut two = world.connect(&asha, Some("phone"), &[]).await;
    let path = format!("/server/users/{}/sessions/{}", asha.id, one.session);
    world.expect(403, Method::DELETE, &path, &SECRET.replace("a-", "b-"), None).await;
    world.expect(204, Method::DELETE, &path, SECRET, None).await;
    assert_eq!(one.closed().await.0, 4403);
    world.asked(SECRET, &format!("/server/users/{}/presence", asha.id), |_, _| true).await;
    two.say(&json!({"type": "ping"})).await;
    two.until(|frame| frame["type"] == "pong").await;
    let nothing = format!("/server/users/{}/sessions/{}", asha.id, uuid::Uuid::nil());
    world.expect(404, Method::DELETE, &nothing, SECRET, None).await;
    let of_tablet = world.connect(&other, Some("tablet"), &[]).await;
    let tablet = id_of(&sessions(&world, &asha).await, "tablet").to_owned();
    let path = format!("/server/users/{}/sessions/{tablet}", asha.id);
    world.expect(204, Method::DELETE, &path, SECRET, None).await;
    assert_eq!(of_tablet.closed().await.0, 4403);
    world.get(&other, "/user/me").await;

    // An administrator ends sign-ins for good.
    let path = format!("/admin/users/{}/sessions", asha.id);
    world.expect(403, Method::GET, &path, &asha.token, None).await;
    let seen = world.get(&admin, &path).await;
    assert_eq!(seen["sessions"].as_array().unwrap().len(), 2, "{seen}");
    world.expect(204, Method::DELETE, &format!("{path}/{tablet}"), &admin.token, None).await;
    world.expect(401, Method::GET, "/user/me", &other.token, None).await;
    world.expect(404, Method::DELETE, &format!("{path}/{tablet}"), &admin.token, None).await;
    world.expect(204, Method::DELETE, &path, &admin.token, None).await;
    assert_eq!(two.closed().await.0, 4403);
    world.expect(401, Method::GET, "/user/me", &asha.token, None).await;
    let back = json!({"email": asha.email, "password": PASSWORD, "device": "phone"});
    let back = somebody(&world.expect(200, Method::POST, "/auth/signin", "", Some(back)).await);
    let listed = world.get(&back, "/notifications").await;
    let titles: Vec<_> = listed["notifications"].as_array().unwrap().iter().map(|one| &one["title"]).collect();
    assert_eq!(titles, ["Signed out", "Signed out", "New sign-in"], "the tablet was new, and both were ended");
    let nobody = format!("/admin/users/{}/sessions", uuid::Uuid::nil());
    world.expect(404, Method::DELETE, &nobody, &admin.token, None).await;
}
