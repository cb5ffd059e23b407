"""A training program that behaves, or not, as its arguments say: OUT MODE TOTAL [--resume]."""

PROGRAM = r"""
import json, os, pathlib, signal, sys, time
out, mode, total = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
asked = []
if mode != "deaf":
    signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
else:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
def say(**event): print(json.dumps(event), flush=True)
def save(name, step):
    new = out / (name + ".new"); new.write_text(f"weights {step}"); os.replace(new, out / name)
    return {"path": str(out / name), "epoch": step}
done = 0
if "--resume" in sys.argv:
    done = max([int(p.stem.split("-")[1]) for p in out.glob("step-*.bin")], default=0)
print("loading", file=sys.stderr, flush=True)
if mode == "raise": say(event="error", error="NoEpisodes", message="nothing to learn from"); sys.exit(3)
if mode == "quiet": sys.exit(0)
while done < total:
    done += 1
    say(event="progress", done=done, of=total, unit="epochs", what="training", loss=1.0 / done)
    if mode == "killed" and done == 2: os.kill(os.getpid(), signal.SIGKILL)
    if done % 2 == 0: say(event="checkpoint", **save(f"step-{done}.bin", done))
    if asked: say(event="preempted", checkpoint=save(f"step-{done}.bin", done)); sys.exit(75)
    time.sleep(0.05)
final = save("model.bin", done)
if mode == "liar": final["digest"] = "sha256:" + "0" * 64
if mode == "outside": final["path"] = "/etc/passwd"
say(event="completed", checkpoint=final, metrics={"val_loss": 0.5})
"""
