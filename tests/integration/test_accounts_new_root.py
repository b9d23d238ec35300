"""Another SECRET_KEY, with the former one behind it: nobody is signed out, and nothing new hangs on the former one."""

from pathlib import Path

from tests.integration.account_house import NUMBER, house

FORMER, NEWEST = "the former root: 40 characters of secret", "the newest root: 40 characters of secret"


def test_what_the_former_root_sealed_is_still_good(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    with house(postgres_url, valkey_url, tmp_path, SECRET_KEY=FORMER) as (api, _):
        welcome = api.sign_up()
        for title in ("First", "Second"):
            api.post("/chatroom/", {"title": title}, token=welcome["access"])
        cursor = api.get("/chatroom/?limit=1", token=welcome["access"]).json["next_cursor"]
        by_id, by_number = api.ask(ip="198.51.100.1"), api.ask(ip="198.51.100.2")
    with house(postgres_url, valkey_url, tmp_path, SECRET_KEY=f"{NEWEST},{FORMER}") as (api, _):
        assert api.get("/user/me/", token=welcome["access"]).status_code == 200
        assert api.post("/auth/refresh/", {"refresh": welcome["refresh"]}).status_code == 200
        second = api.get(f"/chatroom/?limit=1&cursor={cursor}", token=welcome["access"])
        assert [room["title"] for room in second.json["items"]] == ["First"]
        assert api.type_in(by_id, ip="198.51.100.1").status_code == 200
        typed = {"mobile_number": NUMBER, "otp": by_number["otp"]}
        assert api.post("/auth/verify-otp/", typed, ip="198.51.100.2").status_code == 200


def test_what_is_new_hangs_on_the_newest_root_alone(postgres_url: str, valkey_url: str, tmp_path: Path) -> None:
    signing = "A" * 43  # these are kept elsewhere; those that are kept here are rotated by `keys rotate`
    with house(postgres_url, valkey_url, tmp_path, SECRET_KEY=FORMER, JWT_KEYS=signing) as (api, _):
        before = api.sign_up()
    with house(postgres_url, valkey_url, tmp_path, SECRET_KEY=f"{NEWEST},{FORMER}", JWT_KEYS=signing) as (api, _):
        pair = api.post("/auth/refresh/", {"refresh": before["refresh"]}).json
        for title in ("First", "Second"):
            api.post("/chatroom/", {"title": title}, token=pair["access"])
        cursor = api.get("/chatroom/?limit=1", token=pair["access"]).json["next_cursor"]
        by_id, by_number = api.ask(ip="198.51.100.1"), api.ask(ip="198.51.100.2")
    with house(postgres_url, valkey_url, tmp_path, SECRET_KEY=NEWEST, JWT_KEYS=signing) as (api, _):
        assert api.post("/auth/refresh/", {"refresh": before["refresh"]}).status_code == 401
        assert api.post("/auth/refresh/", {"refresh": pair["refresh"]}).status_code == 200
        assert api.get(f"/chatroom/?limit=1&cursor={cursor}", token=pair["access"]).status_code == 200
        assert api.type_in(by_id, ip="198.51.100.1").status_code == 200
        typed = {"mobile_number": NUMBER, "otp": by_number["otp"]}
        assert api.post("/auth/verify-otp/", typed, ip="198.51.100.2").status_code == 200
