"""Progress of a run: a bar with ETA on a terminal, plain lines elsewhere."""

import sys
import time

from tqdm import tqdm


class Progress:
    """Progress through simulated time; `end` and `start` in s."""

    def __init__(self, end: float, start: float, quiet: bool):
        self.end, self.start, self.quiet = end, start, quiet
        self.begin = self.next_bar = time.monotonic()
        self.next_line = 0.1 * (int(10 * start / end) + 1)
        self.bar = None
        if not quiet and sys.stderr.isatty():
            layout = "{percentage:3.0f}%|{bar}| {n:.3f}/{total:.3f} us [{elapsed}<{remaining}{postfix}]"
            self.bar = tqdm(total=end * 1e6, initial=start * 1e6, bar_format=layout, file=sys.stderr)

    def update(self, now: float, steps: int) -> None:
        """Show that time `now` in s was reached after `steps` steps."""
        if self.quiet:
            return
        if self.bar is not None:
            if time.monotonic() >= self.next_bar or now >= self.end:
                self.next_bar = time.monotonic() + 0.1
                self.bar.set_postfix_str(f"step {steps}", refresh=False)
                self.bar.update(now * 1e6 - self.bar.n)
        elif now >= self.next_line * self.end * (1.0 - 1e-12):
            spent = time.monotonic() - self.begin
            left = spent * (self.end - now) / max(now - self.start, 1e-300)
            print(
                f"{100 * now / self.end:3.0f} %  {now * 1e6:.4f} us  step {steps}  ETA {left:.0f} s",
                file=sys.stderr,
                flush=True,
            )
            self.next_line = 0.1 * (int(10 * now / self.end + 1e-9) + 1)

    def close(self) -> None:
        """End the bar."""
        if self.bar is not None:
            self.bar.close()
