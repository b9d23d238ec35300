"""The tables of the call, mapped: the same tables and indexes as ours."""

from datetime import date, datetime
from uuid import UUID

from sqlalchemy import DateTime, ForeignKey
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Base(DeclarativeBase):
    type_annotation_map = {datetime: DateTime(timezone=True)}  # noqa: RUF012


class User(Base):
    __tablename__ = "users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    status: Mapped[str]
    plan: Mapped[str]
    plan_until: Mapped[datetime | None]


class Chatroom(Base):
    __tablename__ = "chatrooms"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"))
    updated_at: Mapped[datetime]
    message_count: Mapped[int]


class Message(Base):
    __tablename__ = "messages"

    chatroom_id: Mapped[UUID] = mapped_column(ForeignKey("chatrooms.id"), primary_key=True)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    user_id: Mapped[UUID]
    role: Mapped[str]
    status: Mapped[str]
    content: Mapped[str]
    created_at: Mapped[datetime]
    completed_at: Mapped[datetime | None]
    reply_to: Mapped[UUID | None]
    unit_day: Mapped[date | None]


class DailyUsage(Base):
    __tablename__ = "daily_usage"

    user_id: Mapped[UUID] = mapped_column(ForeignKey("users.id"), primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    used: Mapped[int]
