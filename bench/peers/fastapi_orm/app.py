"""POST /chatroom/<id>/message/ as most FastAPI projects write it: async SQLAlchemy ORM, PyJWT, Celery's apply_async."""

import os
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

import jwt
from celery import Celery
from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine

from bench.peers.fastapi_orm.models import Chatroom, DailyUsage, Message, User
from gemini_core.model.ids import uuid7

SECRET = os.environ["SECRET_KEY"]
LIMITS = {"basic": 5, "pro": int(os.environ["DAILY_LIMIT"])}

engine = create_async_engine(os.environ["DATABASE_URL"], pool_size=20, max_overflow=0, pool_timeout=10)
Session = async_sessionmaker(engine, expire_on_commit=False)
celery = Celery("peer", broker=os.environ["REDIS_URL"])
celery.conf.task_default_queue = "peer"
app = FastAPI()
bearer = HTTPBearer()


class NewMessage(BaseModel):
    content: Annotated[str, Field(min_length=1, max_length=32_000)]


class MessageOut(BaseModel):
    model_config = ConfigDict(from_attributes=True)

    id: UUID
    chatroom_id: UUID
    role: str
    content: str
    status: str
    created_at: datetime
    completed_at: datetime | None
    reply_to: UUID | None


class Accepted(BaseModel):
    message: MessageOut
    reply: MessageOut


@celery.task(name="generate_reply", ignore_result=True)  # type: ignore[untyped-decorator]
def generate_reply(reply_id: str) -> None:
    """Nobody works on it here: what is measured is the call."""


async def get_session() -> AsyncIterator[AsyncSession]:
    async with Session() as session:
        yield session


Database = Annotated[AsyncSession, Depends(get_session)]


async def current_user(token: Annotated[HTTPAuthorizationCredentials, Depends(bearer)], session: Database) -> User:
    try:
        claims = jwt.decode(token.credentials, SECRET, algorithms=["HS256"])
    except jwt.PyJWTError as error:
        raise HTTPException(401, "The token is not valid.") from error
    user = await session.get(User, UUID(claims["sub"]))
    if user is None or user.status != "active":
        raise HTTPException(401, "There is no such user.")
    return user


@app.get("/healthz/")
async def healthz() -> dict[str, str]:
    return {"status": "ok"}


@app.post("/chatroom/{room_id}/message/", status_code=202, response_model=Accepted)
async def send_message(
    room_id: UUID, body: NewMessage, user: Annotated[User, Depends(current_user)], session: Database
) -> dict[str, Message]:
    now = datetime.now(UTC)
    room = await session.scalar(
        select(Chatroom).where(Chatroom.id == room_id, Chatroom.user_id == user.id).with_for_update()
    )
    if room is None:
        raise HTTPException(404, "There is no such chatroom.")

    usage = await session.get(DailyUsage, (user.id, now.date()), with_for_update=True)
    if usage is None:
        usage = DailyUsage(user_id=user.id, day=now.date(), used=0)
        session.add(usage)
    plan = user.plan if user.plan_until is None or user.plan_until > now else "basic"
    if usage.used >= LIMITS[plan]:
        raise HTTPException(402, "The daily limit is reached.")
    usage.used += 1

    message = Message(
        id=uuid7(now),
        chatroom_id=room.id,
        user_id=user.id,
        role="user",
        status="complete",
        content=body.content,
        created_at=now,
        completed_at=now,
    )
    reply = Message(
        id=uuid7(now),
        chatroom_id=room.id,
        user_id=user.id,
        role="model",
        status="pending",
        content="",
        created_at=now,
        reply_to=message.id,
        unit_day=now.date(),
    )
    session.add_all([message, reply])
    room.updated_at = now
    room.message_count += 2
    await session.commit()

    generate_reply.apply_async(args=[str(reply.id)])
    return {"message": message, "reply": reply}
