"""How a step runs: native code that walks through a table of kernel calls, alone or together with other threads.

In: a table of words: what to call, how often, and the addresses of all buffers. Out: the step done, with the same bits
whoever did which piece of it, or a status word that says which bad position was met before any cell was written.

Kernels are cut into pieces by size, never by the number of threads; a thread that runs alone does each as a whole.
Rows that are linked are a chain: who claims a piece of the first does the same piece of the others right away.
Together, a thread claims pieces of one row after another. It begins a row when the rows that this one depends on are
done, not when every other thread has come: one that the system has put to sleep is not waited for, and rows that do not
depend on each other run side by side.
"""

from __future__ import annotations

# The words at the head of a table; the addresses of the buffers come behind them.
ROWS = 0  # where the rows lie
COUNT = 1  # how many
CHECKED = 2  # before which row the status word says whether the data are good
STEPS = 3  # how often to walk through the rows
DONE = 4  # how many walks came to their end
SCRATCH = 5  # room for the kernels of a thread that runs alone
COUNTERS = 6  # for each row a pair of cache lines: pieces claimed, pieces done; before them the walks before this call
NULL = 7  # no address
STATUS = 8  # kernel, position and value of the first bad position; 0 if all is well
STOP = 11  # whether this walk is the last, whatever `STEPS` says
MODE = 12  # bits that the processor's floating-point mode has during the walks besides its own
HEAD = 13

# In that mode results too small for a normal number are zero. Numbers like that cost a hundred cycles each, and the
# averages of an optimizer end there whenever gradients become zero for good, as those of dead units do. Programs that
# write cells run in it; a program that only computes values keeps them.
_FLUSHES = {"x86_64": 0x8040, "aarch64": 1 << 24, "arm64": 1 << 24}

# The words of a row: its function, the slots of its arguments, a number for it, how many pieces, its shortest time,
# how many rows must be done before it begins (all up to the last one that it depends on), and how many rows behind it
# are done with it, piece by piece; those have no pieces of their own.
ROW = 7
PIECES, TICKS, NEED, LINKS = 3, 4, 5, 6


def row(function: int, slots: int, number: int, pieces: int = 1, links: int = 0) -> tuple[int, ...]:
    """The words of a row that waits for nothing yet and has not been timed."""
    return function, slots, number, pieces, 0, 0, links


# What every function of a row takes. `slots` are the places of its buffers in the table; piece -1 is all of them.
ENTRY = "ptr %table, ptr %slots, i64 %number, i64 %piece, i64 %step, ptr %scratch"

SPIN_AT_ROW = 2_000  # looks at a counter before a waiting thread lets others run: about 20 us
SPIN_AFTER_STEP = 20_000  # before an idle worker goes to sleep: about 200 us
LINE = 8  # words of a cache line

# Where the threads of a pool meet, each word on a line of its own: the table that is being walked through; whether it
# may still be entered; how many workers are inside; how many tables there have been; the room of all threads and how
# much each has; how long to spin. Behind them a word for each worker: whether it sleeps.
TABLE, OPEN, INSIDE, GENERATION, ROOM, ROOM_EACH, SPIN, ASLEEP = range(8)
COUNTER = 2 * LINE  # words of a row's counters
CLAIMS = 44  # bits of the word of claimed pieces that count them; the others count those of this walk from the front


def word(name: str, index: int | str, kind: str = "i64", table: str = "%table") -> str:
    """A word of a table, loaded."""
    return f"""
  %{name}.at = getelementptr i64, ptr {table}, i64 {index}
  %{name} = load {kind}, ptr %{name}.at"""


def _slot(name: str, index: int) -> str:
    """The address in the slot that the row names."""
    return word(f"{name}.slot", index, table="%slots") + word(name, f"%{name}.slot", "ptr")


_HEADER = "".join([
    word("rows", ROWS, "ptr"), word("count", COUNT), word("checked", CHECKED), word("steps", STEPS),
    f"""
  %status = getelementptr i64, ptr %table, i64 {STATUS}
  %done.at = getelementptr i64, ptr %table, i64 {DONE}
  %stop.at = getelementptr i64, ptr %table, i64 {STOP}""",
    word("mode", MODE), "\n  ENTER MODE",
])  # fmt: skip


def _row_at(first: str, index: str) -> str:
    """What is called for a row, so many rows behind a first one."""
    place = f"""
  %offset = mul i64 {index}, {ROW}
  %row.at = getelementptr i64, ptr {first}, i64 %offset"""
    words = (("function", 0, "ptr"), ("slots", 1, "ptr"), ("number", 2, "i64"))
    return place + "".join(word(*each, table="%row.at") for each in words)


_CALL = _row_at("%rows", "%r") + word("pieces", PIECES, table="%row.at") + word("links", LINKS, table="%row.at")

# One piece of a row and of those that are linked to it.
_LINKED = f"""
define internal void @linked(ptr %table, ptr %first, i64 %links, i64 %piece, i64 %step, ptr %scratch) {{
entry:
  br label %row
row:
  %i = phi i64 [ 0, %entry ], [ %i1, %row ]{_row_at("%first", "%i")}
  call void %function(ptr %table, ptr %slots, i64 %number, i64 %piece, i64 %step, ptr %scratch)
  %i1 = add i64 %i, 1
  %more = icmp ule i64 %i1, %links
  br i1 %more, label %row, label %done
done:
  ret void
}}"""


def walk_alone(name: str = "alone", before: str = "", after: str = "", chains: bool = True) -> str:
    """One walk after another by a single thread; `before` and `after` stand around each row %r.

    Without `chains` linked rows are done as a whole too, one after the other.
    """
    is_chain = "icmp ne i64 %links, 0" if chains else "icmp ne i64 0, 0"
    return f"""
define void @{name}(ptr %table) {{
entry:{_HEADER}{word("scratch", SCRATCH, "ptr")}
  br label %step
step:
  %s = phi i64 [ 0, %entry ], [ %s1, %walked ]
  store i64 %s, ptr %done.at
  %more = icmp ult i64 %s, %steps
  br i1 %more, label %row, label %leave
row:
  %r = phi i64 [ 0, %step ], [ %r1, %next ]
  %is_checked = icmp eq i64 %r, %checked
  br i1 %is_checked, label %check, label %begin
check:
  %code = load i64, ptr %status
  %good = icmp eq i64 %code, 0
  br i1 %good, label %begin, label %leave
begin:
  %is_row = icmp ult i64 %r, %count
  br i1 %is_row, label %call, label %walked
call:{_CALL}{before}
  %is_chain = {is_chain}
  br i1 %is_chain, label %piece, label %whole
whole:
  call void %function(ptr %table, ptr %slots, i64 %number, i64 -1, i64 %s, ptr %scratch)
  br label %next
piece:
  %p = phi i64 [ 0, %call ], [ %p1, %piece ]
  call void @linked(ptr %table, ptr %row.at, i64 %links, i64 %p, i64 %s, ptr %scratch)
  %p1 = add i64 %p, 1
  %is_last = icmp uge i64 %p1, %pieces
  br i1 %is_last, label %next, label %piece
next:
  %behind = phi i64 [ 0, %whole ], [ %links, %piece ]{after}
  %r0 = add i64 %r, %behind
  %r1 = add i64 %r0, 1
  br label %row
walked:
  %s1 = add i64 %s, 1
  %stop = load i64, ptr %stop.at
  %goes_on = icmp eq i64 %stop, 0
  br i1 %goes_on, label %step, label %stopped
stopped:
  store i64 %s1, ptr %done.at
  br label %leave
leave:
  LEAVE MODE
  ret void
}}"""


_COPY = f"""
declare void @llvm.memcpy.p0.p0.i64(ptr, ptr, i64, i1)
define void @copy({ENTRY}) {{
entry:{_slot("to", 0)}{_slot("from", 1)}
  call void @llvm.memcpy.p0.p0.i64(ptr %to, ptr %from, i64 %number, i1 false)
  ret void
}}"""


# The batch of a walk: rows `order[step size ...]` of a whole array, `number` bytes each. Behind the slots of batch,
# array and order stand how many rows a batch and a piece have.
_TAKE_ROWS = f"""
define void @take({ENTRY}) {{
entry:{_slot("to", 0)}{_slot("from", 1)}{_slot("order", 2)}{word("size", 3, table="%slots")}
{word("each", 4, table="%slots")}
  %is_whole = icmp slt i64 %piece, 0
  %its_first = mul i64 %piece, %each
  %its_end = add i64 %its_first, %each
  %first = select i1 %is_whole, i64 0, i64 %its_first
  %last = select i1 %is_whole, i64 %size, i64 %its_end
  %end = call i64 @llvm.umin.i64(i64 %last, i64 %size)
  %before = mul i64 %step, %size
  %is_word = icmp eq i64 %number, 8
  br label %row
row:
  %i = phi i64 [ %first, %entry ], [ %i1, %next ]
  %more = icmp ult i64 %i, %end
  br i1 %more, label %some, label %leave
some:
  %position = add i64 %before, %i
  %position.at = getelementptr i64, ptr %order, i64 %position
  %index = load i64, ptr %position.at
  %there = mul i64 %index, %number
  %here = mul i64 %i, %number
  %source = getelementptr i8, ptr %from, i64 %there
  %place = getelementptr i8, ptr %to, i64 %here
  br i1 %is_word, label %word, label %bytes
word:
  %value = load i64, ptr %source, align 1
  store i64 %value, ptr %place, align 1
  br label %next
bytes:
  call void @llvm.memcpy.p0.p0.i64(ptr %place, ptr %source, i64 %number, i1 false)
  br label %next
next:
  %i1 = add i64 %i, 1
  br label %row
leave:
  ret void
}}"""

# A result of `number` bytes, kept beside those of the walks before.
_KEEP = f"""
define void @keep({ENTRY}) {{
entry:{_slot("to", 0)}{_slot("from", 1)}
  %before = mul i64 %step, %number
  %place = getelementptr i8, ptr %to, i64 %before
  call void @llvm.memcpy.p0.p0.i64(ptr %place, ptr %from, i64 %number, i1 false)
  ret void
}}"""

# This walk is the last if a float of `number` bytes is no finite number.
_WATCH = f"""
define void @watch({ENTRY}) {{
entry:{_slot("from", 0)}
  %is_double = icmp eq i64 %number, 8
  br i1 %is_double, label %double, label %single
double:
  %d = load double, ptr %from
  %d.off = fsub double %d, %d
  %d.bad = fcmp uno double %d.off, 0.0
  br i1 %d.bad, label %stop, label %leave
single:
  %f = load float, ptr %from
  %f.off = fsub float %f, %f
  %f.bad = fcmp uno float %f.off, 0.0
  br i1 %f.bad, label %stop, label %leave
stop:
  %stop.at = getelementptr i64, ptr %table, i64 {STOP}
  store atomic i64 1, ptr %stop.at release, align 8
  br label %leave
leave:
  ret void
}}"""


def _wait(tag: str, counter: str, until: str, done: str) -> str:
    """Until a counter has come so far: look again and again, and after a while let other threads run in between."""
    return f"""
  br label %{tag}
{tag}:
  %{tag}.looks = phi i64 [ 0, %{tag}.begin ], [ %{tag}.next, %{tag}.spin ], [ 0, %{tag}.yield ]
  %{tag}.seen = load atomic i64, ptr {counter} acquire, align 8
  %{tag}.is_done = icmp {until}
  br i1 %{tag}.is_done, label %{done}, label %{tag}.busy
{tag}.busy:
  %{tag}.next = add i64 %{tag}.looks, 1
  %{tag}.is_long = icmp ugt i64 %{tag}.next, %spin
  br i1 %{tag}.is_long, label %{tag}.yield, label %{tag}.spin
{tag}.spin:
  PAUSE
  br label %{tag}
{tag}.yield:
  %{tag}.ignored = call i32 @sched_yield()
  br label %{tag}"""


# Waits until every row before `until` is done in this walk, where those before `known` are; gives back `until`, or
# `known` if that is more.
_AWAIT = f"""
define internal i64 @await(ptr %rows, ptr %counters, i64 %known, i64 %until, i64 %walk, i64 %spin) {{
entry:
  br label %row
row:
  %q = phi i64 [ %known, %entry ], [ %q1, %next ]
  %more = icmp ult i64 %q, %until
  br i1 %more, label %look, label %leave
look:
  %offset = mul i64 %q, {ROW}
  %row.at = getelementptr i64, ptr %rows, i64 %offset
{word("pieces", 3, table="%row.at")}
  %walk1 = add i64 %walk, 1
  %end = mul i64 %walk1, %pieces
  %line = mul i64 %q, {COUNTER}
  %claimed = getelementptr i64, ptr %counters, i64 %line
  %ready = getelementptr i64, ptr %claimed, i64 {LINE}
  br label %wait.begin
wait.begin:{_wait("wait", "%ready", "uge i64 %wait.seen, %end", "next")}
next:
  %q1 = add i64 %q, 1
  br label %row
leave:
  ret i64 %q
}}"""

# One of the threads that walk through the same table. It begins a row when those that the row needs are done, and goes
# on when there is nothing left to claim. Counters only grow, from call to call too, so that nothing has to be set back:
# in walk w a row of n pieces is claimed from w n to (w + 1) n. Even workers claim from the first piece on, odd ones
# from the last one back, so that each finds in its own cache what it has made in the rows and steps before. How many of
# the row's claims came from the front stands in the upper bits of the same word.
_TOGETHER = f"""
define internal void @together(ptr %table, ptr %scratch, i64 %spin, i64 %worker) {{
entry:{_HEADER}{word("counters", COUNTERS, "ptr")}
  %side = and i64 %worker, 1
  %is_back = icmp ne i64 %side, 0
  %advance = select i1 %is_back, i64 1, i64 {(1 << CLAIMS) + 1}
  %base = load i64, ptr %counters
  %first_counter = getelementptr i64, ptr %counters, i64 {COUNTER}
  br label %step
step:
  %s = phi i64 [ 0, %entry ], [ %s1, %walked ]
  %walk = add i64 %s, %base
  %more = icmp ult i64 %s, %steps
  br i1 %more, label %row, label %leave
row:
  %r = phi i64 [ 0, %step ], [ %r1, %next ]
  %q = phi i64 [ 0, %step ], [ %q2, %next ]
  %is_checked = icmp eq i64 %r, %checked
  br i1 %is_checked, label %check, label %begin
check:
  %all = call i64 @await(ptr %rows, ptr %first_counter, i64 %q, i64 %r, i64 %walk, i64 %spin)
  %code = load atomic i64, ptr %status acquire, align 8
  %good = icmp eq i64 %code, 0
  br i1 %good, label %begin, label %leave
begin:
  %q1 = phi i64 [ %q, %row ], [ %all, %check ]
  %is_row = icmp ult i64 %r, %count
  br i1 %is_row, label %call, label %end_of_walk
call:{_CALL}
{word("need", 5, table="%row.at")}
  %q2 = call i64 @await(ptr %rows, ptr %first_counter, i64 %q1, i64 %need, i64 %walk, i64 %spin)
  %first = mul i64 %walk, %pieces
  %end = add i64 %first, %pieces
  %line = mul i64 %r, {COUNTER}
  %claimed = getelementptr i64, ptr %first_counter, i64 %line
  %ready = getelementptr i64, ptr %claimed, i64 {LINE}
  br label %look
look:
  %word = load atomic i64, ptr %claimed monotonic, align 8
  %seen = and i64 %word, {(1 << CLAIMS) - 1}
  %is_left = icmp ult i64 %seen, %end
  br i1 %is_left, label %claim, label %next
claim:
  %is_first = icmp eq i64 %seen, %first
  %current = select i1 %is_first, i64 %seen, i64 %word
  %following = add i64 %current, %advance
  %pair = cmpxchg ptr %claimed, i64 %word, i64 %following acq_rel monotonic, align 8
  %is_mine = extractvalue {{ i64, i1 }} %pair, 1
  br i1 %is_mine, label %work, label %look
work:
  %front = lshr i64 %current, {CLAIMS}
  %since = sub i64 %seen, %first
  %back = sub i64 %since, %front
  %last = sub i64 %pieces, 1
  %from_back = sub i64 %last, %back
  %p = select i1 %is_back, i64 %from_back, i64 %front
  %is_chain = icmp ne i64 %links, 0
  br i1 %is_chain, label %chain, label %single
single:
  call void %function(ptr %table, ptr %slots, i64 %number, i64 %p, i64 %s, ptr %scratch)
  br label %worked
chain:
  call void @linked(ptr %table, ptr %row.at, i64 %links, i64 %p, i64 %s, ptr %scratch)
  br label %worked
worked:
  %before = atomicrmw add ptr %ready, i64 1 acq_rel, align 8
  br label %look
next:
  %r0 = add i64 %r, %links
  %r1 = add i64 %r0, 1
  br label %row
end_of_walk:
  %whole = call i64 @await(ptr %rows, ptr %first_counter, i64 %q1, i64 %count, i64 %walk, i64 %spin)
  br label %walked
walked:
  %s1 = add i64 %s, 1
  %stop = load atomic i64, ptr %stop.at acquire, align 8
  %goes_on = icmp eq i64 %stop, 0
  br i1 %goes_on, label %step, label %leave
leave:
  %walks = phi i64 [ %s, %step ], [ %s, %check ], [ %s1, %walked ]
  ; whoever is behind may leave at an earlier walk than the one that was the last
  %most = atomicrmw max ptr %done.at, i64 %walks acq_rel, align 8
  LEAVE MODE
  ret void
}}"""


def _mailbox(name: str, line: int) -> str:
    return f"""
  %{name} = getelementptr i64, ptr %mailbox, i64 {line * LINE}"""


_MEETING = "".join(_mailbox(*each) for each in [("table.at", TABLE), ("open", OPEN), ("inside", INSIDE),
                                                ("generation", GENERATION), ("room.at", ROOM), ("each.at", ROOM_EACH),
                                                ("spin.at", SPIN)])  # fmt: skip

# The caller's part: let workers in, walk, let no more in, wait until the last has left. Then the counters go on from
# where they are; after bad data, which end a walk in the middle, from nothing.
_LEAD = f"""
define void @lead(ptr %mailbox, ptr %table) {{
entry:{_MEETING}
  store atomic ptr %table, ptr %table.at seq_cst, align 8
  store atomic i64 1, ptr %open seq_cst, align 8
  %old = atomicrmw add ptr %generation, i64 1 seq_cst, align 8
  %room = load ptr, ptr %room.at
  %spin = load i64, ptr %spin.at
  call void @together(ptr %table, ptr %room, i64 %spin, i64 0)
  store atomic i64 0, ptr %open seq_cst, align 8
  br label %wait.begin
wait.begin:{_wait("wait", "%inside", "eq i64 %wait.seen, 0", "over")}
over:{word("counters", COUNTERS, "ptr")}{word("steps", STEPS)}{word("count", COUNT)}{word("code", STATUS)}
{word("last", STOP)}
  %good = icmp eq i64 %code, 0
  %is_whole = icmp eq i64 %last, 0
  %is_even = and i1 %good, %is_whole
  br i1 %is_even, label %go_on, label %reset
go_on:
  %base = load i64, ptr %counters
  %base1 = add i64 %base, %steps
  store i64 %base1, ptr %counters
  ret void
reset:
  %lines = add i64 %count, 1
  %bytes = mul i64 %lines, {8 * COUNTER}
  call void @llvm.memset.p0.i64(ptr %counters, i8 0, i64 %bytes, i1 false)
  ret void
}}"""

# A worker's life between two sleeps: wait a while for a table newer than the one it has seen, take part, wait again.
# Gives back the number of the last one, when its word says that it sleeps.
_SERVE = f"""
define i64 @serve(ptr %mailbox, i64 %worker, i64 %seen0) {{
entry:{_MEETING}
  %line = mul i64 %worker, {LINE}
  %word = add i64 %line, {ASLEEP * LINE}
  %asleep = getelementptr i64, ptr %mailbox, i64 %word
  store atomic i64 0, ptr %asleep seq_cst, align 8
  br label %wait
wait:
  %seen = phi i64 [ %seen0, %entry ], [ %now, %left ], [ %seen, %spinning ], [ %seen, %again ]
  %looks = phi i64 [ 0, %entry ], [ 0, %left ], [ %looks1, %spinning ], [ 0, %again ]
  %now = load atomic i64, ptr %generation seq_cst, align 8
  %is_new = icmp ne i64 %now, %seen
  br i1 %is_new, label %enter, label %idle
idle:
  %looks1 = add i64 %looks, 1
  %spin = load i64, ptr %spin.at
  %longest = mul i64 %spin, {SPIN_AFTER_STEP // SPIN_AT_ROW}
  %is_long = icmp ugt i64 %looks1, %longest
  br i1 %is_long, label %doze, label %spinning
spinning:
  PAUSE
  br label %wait
doze:
  store atomic i64 1, ptr %asleep seq_cst, align 8
  %latest = load atomic i64, ptr %generation seq_cst, align 8
  %is_late = icmp ne i64 %latest, %seen
  br i1 %is_late, label %again, label %sleep
again:
  store atomic i64 0, ptr %asleep seq_cst, align 8
  br label %wait
sleep:
  ret i64 %seen
enter:
  %count = atomicrmw add ptr %inside, i64 1 seq_cst, align 8
  %is_open = load atomic i64, ptr %open seq_cst, align 8
  %may = icmp eq i64 %is_open, 1
  br i1 %may, label %take, label %left
take:
  %table = load atomic ptr, ptr %table.at seq_cst, align 8
  %room = load ptr, ptr %room.at
  %each = load i64, ptr %each.at
  %before = mul i64 %each, %worker
  %mine = getelementptr i8, ptr %room, i64 %before
  %patience = load i64, ptr %spin.at
  call void @together(ptr %table, ptr %mine, i64 %patience, i64 %worker)
  br label %left
left:
  %count1 = atomicrmw sub ptr %inside, i64 1 seq_cst, align 8
  br label %wait
}}"""

# No inline assembly: that would need an assembler for the machine, which is not there unless somebody asks LLVM for it.
_PAUSES = {
    "x86_64": "call void @llvm.x86.sse2.pause()",
    "aarch64": "call void @llvm.aarch64.hint(i32 1)",
    "arm64": "call void @llvm.aarch64.hint(i32 1)",
}

_X86_MODE = (
    """%own.at = alloca i32
  call void @llvm.x86.sse.stmxcsr(ptr %own.at)
  %own = load i32, ptr %own.at
  %mode.bits = trunc i64 %mode to i32
  %walking = or i32 %own, %mode.bits
  %walking.at = alloca i32
  store i32 %walking, ptr %walking.at
  call void @llvm.x86.sse.ldmxcsr(ptr %walking.at)""",
    "call void @llvm.x86.sse.ldmxcsr(ptr %own.at)",
    ["declare void @llvm.x86.sse.stmxcsr(ptr)", "declare void @llvm.x86.sse.ldmxcsr(ptr)"],
)
_ARM_MODE = (
    """%own = call i64 @llvm.aarch64.get.fpcr()
  %walking = or i64 %own, %mode
  call void @llvm.aarch64.set.fpcr(i64 %walking)""",
    "call void @llvm.aarch64.set.fpcr(i64 %own)",
    ["declare i64 @llvm.aarch64.get.fpcr()", "declare void @llvm.aarch64.set.fpcr(i64)"],
)
_MODES = {"x86_64": _X86_MODE, "aarch64": _ARM_MODE, "arm64": _ARM_MODE}


def flushing_mode(architecture: str) -> int:
    """The bits of `MODE` for a program whose results are zero where they are too small for a normal number."""
    return _FLUSHES.get(architecture, 0)


def runtime_text(architecture: str, clock: str) -> str:
    """The functions that every program shares: those that walk, and rows that are no kernels."""
    pause = _PAUSES.get(architecture, "")
    enter, leave, modes = _MODES.get(architecture, ("", "", []))
    declarations = [
        "declare i32 @sched_yield()", "declare void @llvm.memset.p0.i64(ptr, i8, i64, i1)",
        "declare i64 @llvm.umin.i64(i64, i64)", f"declare i64 @{clock}()",
        *["declare void @llvm.x86.sse2.pause()"] * ("x86" in pause),
        *["declare void @llvm.aarch64.hint(i32)"] * ("aarch64" in pause), *modes,
    ]  # fmt: skip
    timed = walk_alone("timed", f"\n  %begun = call i64 @{clock}()", _TAKE.format(clock=clock), chains=False)
    walks = [_LINKED, walk_alone(), timed, _AWAIT, _TOGETHER, _LEAD, _SERVE]
    text = "\n".join([*declarations, *walks, _COPY, _TAKE_ROWS, _KEEP, _WATCH])
    return text.replace("  PAUSE", f"  {pause}").replace("ENTER MODE", enter).replace("LEAVE MODE", leave)


# The shortest time of each row so far, which stands behind its other words.
_TAKE = """
  %ended = call i64 @{clock}()
  %ticks = sub i64 %ended, %begun
  %ticks.at = getelementptr i64, ptr %row.at, i64 4
  %known = load i64, ptr %ticks.at
  %is_less = icmp ult i64 %ticks, %known
  %least = select i1 %is_less, i64 %ticks, i64 %known
  store i64 %least, ptr %ticks.at"""
