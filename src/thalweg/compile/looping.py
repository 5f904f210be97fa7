"""How a loop runs natively: as one row of the table, which walks through the rows of its own steps.

In: a row of words: the rows of a step, and where each buffer of a step lies, at a place that stays or at one that moves
on. Out: the text of the function `loop`. The steps of one piece are done by one thread, with a table of addresses of
its own in its scratch, so that pieces (parts of the batch, all steps each) need not wait for each other.
"""

from __future__ import annotations

from thalweg.compile.runtime import ENTRY, STATUS, word

# The words of a loop's row: its rows, how many; how many steps; how many words its table has; buffers that stay, that
# move and that are filled before the first step, each as an address and how many; pieces; where in the scratch that of
# the kernels begins; how many steps a piece has.
WORDS = (
    "rows", "count", "length", "words", "staying", "staying.count", "moving", "moving.count", "first", "first.count",
    "pieces", "behind", "length.each",
)  # fmt: skip
# A place: a slot of the table that the loop's row is in, or one of these; bytes behind it; bytes from piece to piece.
IN_SCRATCH, ABSOLUTE = -1, -2
PLACE = 3
STAYING = 1 + PLACE  # a word of the loop's table, and the place that stands there
MOVING = 2 + PLACE  # a word, the place in the first step, bytes from step to step
FIRST = 2 * PLACE + 1  # a place, from where it is filled, bytes

_PLACED = f"""
define internal ptr @placed(ptr %table, ptr %scratch, ptr %place, i64 %piece) {{
entry:{word("slot", 0, table="%place")}{word("offset", 1, table="%place")}{word("each", 2, table="%place")}
  %by = mul i64 %piece, %each
  %far = add i64 %offset, %by
  %is_slot = icmp sge i64 %slot, 0
  br i1 %is_slot, label %named, label %other
named:
  %there = getelementptr ptr, ptr %table, i64 %slot
  %held = load ptr, ptr %there
  br label %done
other:
  %is_own = icmp eq i64 %slot, {IN_SCRATCH}
  %own = select i1 %is_own, ptr %scratch, ptr null
  br label %done
done:
  %base = phi ptr [ %held, %named ], [ %own, %other ]
  %address = getelementptr i8, ptr %base, i64 %far
  ret ptr %address
}}"""


def _each(name: str, tag: str, count: str, record: int, body: str, following: str) -> str:
    """For each record of a list, `body` with its address as %TAG.at; after the block TAG.begin."""
    return f"""
  br label %{tag}.each
{tag}.each:
  %{tag}.i = phi i64 [ 0, %{tag}.begin ], [ %{tag}.next, %{tag}.body ]
  %{tag}.more = icmp ult i64 %{tag}.i, %{count}
  br i1 %{tag}.more, label %{tag}.body, label %{following}
{tag}.body:
  %{tag}.offset = mul i64 %{tag}.i, {record}
  %{tag}.at = getelementptr i64, ptr %{name}, i64 %{tag}.offset{body}
  %{tag}.next = add i64 %{tag}.i, 1
  br label %{tag}.each"""


def _placed(name: str, record: str, behind: int) -> str:
    return f"""
  %{name}.place = getelementptr i64, ptr {record}, i64 {behind}
  %{name} = call ptr @placed(ptr %table, ptr %scratch, ptr %{name}.place, i64 %p)"""


_STAYS = f"""{word("staying.word", 0, table="%stay.at")}{_placed("stays", "%stay.at", 1)}
  %stays.slot = getelementptr ptr, ptr %scratch, i64 %staying.word
  store ptr %stays, ptr %stays.slot"""
# Where a moving buffer begins, found once for all steps.
_MOVES = f"""{_placed("begins", "%move.at", 1)}
  %begins.slot = getelementptr ptr, ptr %cached, i64 %move.i
  store ptr %begins, ptr %begins.slot"""
_FILLS = f"""{_placed("to", "%fill.at", 0)}{_placed("from", "%fill.at", PLACE)}
{word("bytes", 2 * PLACE, table="%fill.at")}
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %bytes, i1 false)"""
_STEPS_ON = f"""{word("step.word", 0, table="%on.at")}{word("stride", 1 + PLACE, table="%on.at")}
  %now.slot = getelementptr ptr, ptr %cached, i64 %on.i
  %now.base = load ptr, ptr %now.slot
  %now.far = mul i64 %stride, %t
  %now = getelementptr i8, ptr %now.base, i64 %now.far
  %its.slot = getelementptr ptr, ptr %scratch, i64 %step.word
  store ptr %now, ptr %its.slot"""


def loop_text() -> str:
    """The functions of a loop, in the words of `runtime`."""
    kinds = {"rows": "ptr", "staying": "ptr", "moving": "ptr", "first": "ptr"}
    words = "".join(word(name, i, kinds.get(name, "i64"), table="%slots") for i, name in enumerate(WORDS))
    return f"""{_PLACED}
define void @loop({ENTRY}) {{
entry:{words}
  %is_whole = icmp slt i64 %piece, 0
  %p.first = select i1 %is_whole, i64 0, i64 %piece
  %p.after = add i64 %p.first, 1
  %p.end = select i1 %is_whole, i64 %pieces, i64 %p.after
  %table.bytes = mul i64 %words, 8
  call void @llvm.memset.p0.i64(ptr %scratch, i8 0, i64 %table.bytes, i1 false)
  %cached = getelementptr i8, ptr %scratch, i64 %table.bytes
  %inner = getelementptr i8, ptr %scratch, i64 %behind
  %links = sub i64 %count, 1
  br label %piece.begin
piece.begin:
  %p = phi i64 [ %p.first, %entry ], [ %p.next, %piece.end ]
  %is_piece = icmp ult i64 %p, %p.end
  br i1 %is_piece, label %stay.begin, label %leave
stay.begin:{_each("staying", "stay", "staying.count", STAYING, _STAYS, "move.begin")}
move.begin:{_each("moving", "move", "moving.count", MOVING, _MOVES, "fill.begin")}
fill.begin:{_each("first", "fill", "first.count", FIRST, _FILLS, "times")}
times:
  %is_all = icmp eq i64 %length.each, %length
  %begun = mul i64 %p, %length.each
  %t.first = select i1 %is_all, i64 0, i64 %begun
  %t.behind = add i64 %t.first, %length.each
  %t.end = call i64 @llvm.umin.i64(i64 %t.behind, i64 %length)
  br label %time
time:
  %t = phi i64 [ %t.first, %times ], [ %t.next, %walk ]
  %is_step = icmp ult i64 %t, %t.end
  br i1 %is_step, label %on.begin, label %piece.end
on.begin:{_each("moving", "on", "moving.count", MOVING, _STEPS_ON, "walk")}
walk:
  call void @linked(ptr %scratch, ptr %rows, i64 %links, i64 -1, i64 %step, ptr %inner)
  %t.next = add i64 %t, 1
  br label %time
piece.end:
  %p.next = add i64 %p, 1
  br label %piece.begin
leave:
  %bad.at = getelementptr i64, ptr %scratch, i64 {STATUS}
  %bad = load i64, ptr %bad.at
  %is_bad = icmp ne i64 %bad, 0
  br i1 %is_bad, label %tell, label %done
tell:
  %status.at = getelementptr i64, ptr %table, i64 {STATUS}
  store i64 %bad, ptr %status.at
  br label %done
done:
  ret void
}}"""
