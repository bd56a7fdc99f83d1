//! Who is online, for whom; who is in a room; and that nobody is a ghost.

use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::world::{SECRET, Somebody, World};

async fn presence(world: &World, token: &str, of: &Somebody) -> (StatusCode, Value) {
    world.ask(Method::GET, &format!("/user/{}/presence", of.id), token, None).await
}

fn is_online(online: bool) -> impl Fn(StatusCode, &Value) -> bool {
    move |status, body| status == StatusCode::OK && body["online"] == online
}

#[tokio::test]
async fn who_shares_a_room_sees_who_is_online_and_nobody_else_is_told_anything() {
    let world = World::start(&[("QUICKPE_PRESENCE__DEBOUNCE_MS", "200")]);
    let (asha, bela) = (world.sign_up("asha", json!({})).await, world.sign_up("bela", json!({})).await);
    let chand = world.sign_up("chand", json!({})).await;
    world.group(&[&asha, &bela]).await;
    let path = format!("/user/{}/presence", bela.id);
    let seen = world.asked(&asha.token, &path, is_online(false)).await;
    assert_eq!(seen, json!({"id": bela.id, "online": false}));

    let phone = world.connect(&bela, Some("phone"), &["account"]).await;
    let tab = world.connect(&bela, Some("phone"), &[]).await;
    let seen = world.asked(&asha.token, &path, is_online(true)).await;
    assert_eq!(seen, json!({"id": bela.id, "online": true}), "others are not told where");
    let two = |_, body: &Value| body["devices"][0]["sessions"].as_array().is_some_and(|sessions| sessions.len() == 2);
    let own = world.asked(&bela.token, &path, two).await;
    assert_eq!(own["devices"].as_array().unwrap().len(), 1, "two tabs of one device: {own}");
    let sessions: Vec<_> = own["devices"][0]["sessions"].as_array().unwrap().iter().collect();
    assert!(sessions.contains(&&json!(phone.session)) && sessions.contains(&&json!(tab.session)), "{own}");

    // A stranger, about somebody and about nobody.
    let (status, about) = presence(&world, &chand.token, &bela).await;
    let nobody = Somebody { id: uuid::Uuid::nil().to_string(), ..bela.clone() };
    let (status_of_nobody, nothing) = presence(&world, &chand.token, &nobody).await;
    assert_eq!((status, status_of_nobody), (StatusCode::NOT_FOUND, StatusCode::NOT_FOUND));
    assert_eq!((&about["code"], &about["message"]), (&nothing["code"], &nothing["message"]));
    // Making a room with somebody does not show more of them; their taking part in it does.
    let direct = world.post(201, &chand, "/rooms", json!({"kind": "direct", "with": bela.email})).await;
    let direct = direct["room"].as_str().unwrap().to_owned();
    assert_eq!(presence(&world, &chand.token, &bela).await.0, StatusCode::NOT_FOUND);
    world.post(201, &bela, &format!("/rooms/{direct}/messages"), json!({"body": "hello"})).await;
    assert_eq!(presence(&world, &chand.token, &bela).await.0, StatusCode::OK);
    world.post(201, &bela, &format!("/user/{}/block", chand.id), json!({})).await;
    assert_eq!(presence(&world, &chand.token, &bela).await.0, StatusCode::NOT_FOUND);
    assert_eq!(presence(&world, &bela.token, &chand).await.0, StatusCode::NOT_FOUND, "neither sees the other");
    let blocked = world.expect(403, Method::GET, &format!("/rooms/{direct}/presence"), &chand.token, None).await;
    assert_eq!(blocked["code"], "blocked");

    // Servers with the scope see where.
    let path = format!("/server/users/{}/presence", bela.id);
    let seen = world.expect(200, Method::GET, &path, SECRET, None).await;
    assert_eq!(seen["devices"], own["devices"]);
    world.expect(403, Method::GET, &path, &SECRET.replace("a-", "b-"), None).await;
    let unknown = format!("/server/users/{}/presence", nobody.id);
    world.expect(404, Method::GET, &unknown, SECRET, None).await;

    phone.leave();
    tab.leave();
    world.asked(&asha.token, &format!("/user/{}/presence", bela.id), is_online(false)).await;
}

#[tokio::test]
async fn a_session_that_broke_lingers_and_after_a_crash_nobody_is_a_ghost() {
    const LONG: [(&str, &str); 1] = [("QUICKPE_PRESENCE__DEBOUNCE_MS", "60000")];
    let world = World::start(&LONG);
    let asha = world.sign_up("asha", json!({})).await;
    let path = format!("/user/{}/presence", asha.id);
    let phone = world.connect(&asha, Some("phone"), &["account"]).await;
    world.asked(&asha.token, &path, is_online(true)).await;
    phone.leave();
    while world.metric("quickpe_sessions ").await != Some(0.0) {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    assert_eq!(world.get(&asha, &path).await["online"], true, "the node knows that it is gone, and waits");

    let _phone = world.connect(&asha, Some("phone"), &["account"]).await;
    world.asked(&asha.token, &path, is_online(true)).await;
    let world = world.crash_and_start(&LONG);
    assert_eq!(world.get(&asha, &path).await, json!({"id": asha.id, "online": false, "devices": []}));
    let _tablet = world.connect(&asha, Some("tablet"), &["account"]).await;
    let own = world.asked(&asha.token, &path, is_online(true)).await;
    assert_eq!(own["devices"].as_array().unwrap().len(), 1, "only who is connected: {own}");
}

#[tokio::test]
async fn a_room_hears_who_comes_and_who_stays_away() {
    let world = World::start(&[("QUICKPE_PRESENCE__ROOMS_EVERY_MS", "100")]);
    let (asha, bela) = (world.sign_up("asha", json!({})).await, world.sign_up("bela", json!({})).await);
    let room = world.group(&[&asha, &bela]).await;
    let stream = format!("room:{room}");
    let is_of = |list: &'static str, who: &Somebody| {
        let id = who.id.clone();
        move |frame: &Value| {
            let people = frame[list].as_array();
            frame["type"] == "presence" && people.is_some_and(|people| people.iter().any(|one| one["id"] == id))
        }
    };
    let mut of_asha = world.connect(&asha, None, &[&stream]).await;
    let came = of_asha.until(is_of("join", &asha)).await;
    assert_eq!((&came["stream"], &came["online"]), (&json!(stream), &json!(1)));
    let of_bela = world.connect(&bela, Some("phone"), &[&stream]).await;
    let came = of_asha.until(is_of("join", &bela)).await;
    assert_eq!((&came["online"], &came["join"][0]["name"]), (&json!(2), &json!("bela Rao")));
    let there = world.get(&asha, &format!("/rooms/{room}/presence")).await;
    assert_eq!((&there["online"], there["users"].as_array().unwrap().len()), (&json!(2), 2));

    // Gone, and back before anybody is told.
    of_bela.leave();
    let of_bela = world.connect(&bela, Some("phone"), &[&stream]).await;
    let again = of_asha.count(|frame| is_of("join", &bela)(frame) || is_of("leave", &bela)(frame)).await;
    assert_eq!(again, 0, "a connection that broke is nobody's leaving");
    of_bela.leave();
    let went = of_asha.until(is_of("leave", &bela)).await;
    assert_eq!((&went["online"], &went["join"]), (&json!(1), &Value::Null));
    assert_eq!(of_asha.count(is_of("join", &bela)).await, 0);

    // Who is put out hears of it, and of nothing more.
    let mut of_bela = world.connect(&bela, Some("phone"), &[&stream]).await;
    world.post(201, &asha, &format!("/rooms/{room}/kick"), json!({"user": bela.id})).await;
    let kicked = of_bela.event("member:update").await;
    assert_eq!((&kicked["data"]["change"], &kicked["data"]["by"]["name"]), (&json!("kicked"), &json!("asha Rao")));
    world.post(201, &asha, &format!("/rooms/{room}/messages"), json!({"body": "is she gone?"})).await;
    of_asha.event("message:new").await;
    assert_eq!(of_bela.count(|frame| frame["event"] == "message:new").await, 0);
    assert_eq!(presence_of_room(&world, &bela, &room).await, StatusCode::NOT_FOUND);
}

async fn presence_of_room(world: &World, who: &Somebody, room: &str) -> StatusCode {
    world.ask(Method::GET, &format!("/rooms/{room}/presence"), &who.token, None).await.0
}

#[tokio::test]
async fn of_a_room_that_is_not_of_people_only_a_number_is_told() {
    let world = World::start(&[("QUICKPE_PRESENCE__ROOMS_EVERY_MS", "100")]);
    let (asha, bela) = (world.sign_up("asha", json!({})).await, world.sign_up("bela", json!({})).await);
    let made = world.expect(201, Method::POST, "/server/rooms", SECRET, Some(json!({}))).await;
    let room = made["room"].as_str().unwrap();
    let stream = format!("room:{room}");
    let mut of_asha = world.connect(&asha, None, &[&stream]).await;
    let _of_bela = world.connect(&bela, None, &[&stream]).await;
    let told = of_asha.until(|frame| frame["type"] == "presence" && frame["online"] == 2).await;
    assert_eq!(told, json!({"type": "presence", "stream": stream, "online": 2}), "nobody is named");
    assert_eq!(world.get(&bela, &format!("/rooms/{room}/presence")).await, json!({"online": 2}));
    let of_server = world.expect(200, Method::GET, &format!("/server/rooms/{room}/presence"), SECRET, None).await;
    assert_eq!(of_server, json!({"online": 2}));
}
