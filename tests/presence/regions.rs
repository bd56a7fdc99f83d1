//! Regions: where people are, what they hear of it, and who says so.

use reqwest::Method;
use serde_json::{Value, json};

use crate::world::{SECRET, Somebody, World};

/// Has a server say something to a region; answers its room.
async fn broadcast(world: &World, region: &str, text: &str) -> String {
    let path = format!("/server/regions/{region}/messages");
    let said = world.expect(201, Method::POST, &path, SECRET, Some(json!({"body": text}))).await;
    said["room"].as_str().unwrap().to_owned()
}

/// What somebody may follow of these rooms.
async fn granted(world: &World, who: &Somebody, rooms: &[&str]) -> Vec<bool> {
    let mut client = world.connect(who, None, &[]).await;
    let mut granted = Vec::new();
    for room in rooms {
        let stream = format!("room:{room}");
        client.say(&json!({"type": "subscribe", "id": room, "stream": stream})).await;
        let answer = client.until(|frame| frame["id"] == *room).await;
        if answer["type"] == "error" {
            assert_eq!(answer["code"], "stream_unknown", "{answer}");
        }
        granted.push(answer["type"] == "subscribed");
    }
    granted
}

fn kinds(rooms: &Value) -> Vec<&str> {
    rooms["rooms"].as_array().unwrap().iter().map(|room| room["kind"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn people_hear_what_is_said_where_they_are() {
    let world = World::start(&[]);
    let asha = world.sign_up("asha", json!({"region": "in-mh"})).await;
    let bela = world.sign_up("bela", json!({"region": "IN"})).await;
    let chand = world.sign_up("chand", json!({})).await;
    assert_eq!(world.get(&asha, "/user/me").await["region"], "IN-MH");
    assert_eq!(world.get(&chand, "/user/me").await.get("region"), None);
    let wrong = json!({"firstName": "D", "lastName": "R", "email": "d@example.com", "password": "correct horse",
        "region": "India"});
    let refused = world.expect(400, Method::POST, "/auth/signup", "", Some(wrong)).await;
    assert_eq!(refused["errors"][0]["field"], "region");

    let (country, part) = (broadcast(&world, "in", "to all").await, broadcast(&world, "IN-MH", "to some").await);
    let rooms = [country.as_str(), part.as_str()];
    assert_eq!(granted(&world, &asha, &rooms).await, [true, true]);
    assert_eq!(granted(&world, &bela, &rooms).await, [true, false]);
    assert_eq!(granted(&world, &chand, &rooms).await, [false, false]);
    assert_eq!(kinds(&world.get(&asha, "/rooms").await), ["region", "region"]);
    let read = world.get(&asha, &format!("/rooms/{part}/messages?after=0")).await;
    assert_eq!(read["events"][1]["data"]["body"], "to some");
    world.expect(404, Method::GET, &format!("/rooms/{part}/messages"), &bela.token, None).await;

    let stream = format!("room:{country}");
    let mut follower = world.connect(&bela, None, &[&stream]).await;
    broadcast(&world, "in", "once more").await;
    assert_eq!(follower.event("message:new").await["data"]["body"], "once more");
}

#[tokio::test]
async fn administrators_say_where_people_are() {
    let world = World::start(&[]);
    let (admin, asha) = (world.administrator().await, world.sign_up("asha", json!({"region": "IN"})).await);
    let (here, there) = (broadcast(&world, "in", "a").await, broadcast(&world, "sg", "b").await);
    let path = format!("/admin/users/{}/region", asha.id);
    let put = |token: &str, region: Value| {
        let (token, body) = (token.to_owned(), json!({"region": region}));
        let (world, path) = (&world, &path);
        async move { world.ask(Method::PUT, path, &token, Some(body)).await }
    };
    assert_eq!(put(&asha.token, json!("SG")).await.0, 403);
    assert_eq!(put(&admin.token, json!("Singapore")).await.0, 400);
    let (status, moved) = put(&admin.token, json!("sg")).await;
    assert_eq!((status.as_u16(), &moved), (200, &json!({"userId": asha.id, "region": "SG"})));
    // At once over the WebSocket, which reads it anew; over HTTP with the next token.
    assert_eq!(granted(&world, &asha, &[&here, &there]).await, [false, true]);
    world.expect(404, Method::GET, &format!("/rooms/{there}/messages"), &asha.token, None).await;
    let again = world.sign_in(&asha.email, None).await;
    world.get(&again, &format!("/rooms/{there}/messages")).await;
    assert_eq!(put(&admin.token, Value::Null).await.1, json!({"userId": asha.id, "region": null}));
    assert_eq!(granted(&world, &again, &[&here, &there]).await, [false, false]);
    let nobody = format!("/admin/users/{}/region", uuid::Uuid::nil());
    world.expect(404, Method::PUT, &nobody, &admin.token, Some(json!({"region": "IN"}))).await;
}
