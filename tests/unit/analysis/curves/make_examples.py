"""Make the files in examples/ anew, each by the library whose format it is.

    python make_examples.py keras|tensorboard|wandb|mlflow|pyarrow

Each needs its library and NumPy alone (`keras` needs TensorFlow too); README.md beside the files has the versions that
made them. The numbers are made up (truth.py).
"""

import json
import os
import shutil
import sys
import tempfile
from pathlib import Path

from truth import EPOCHS, LOSS, VAL_LOSS

FOLDER = Path(__file__).parent / "examples"


def rows():
    for epoch, loss, val_loss in zip(range(EPOCHS), LOSS.tolist(), VAL_LOSS.tolist(), strict=True):
        yield epoch, {"loss": loss, "val_loss": val_loss}


def _name_events(folder):
    """Name event files without the machine that they come from."""
    for path in folder.rglob("events.out.tfevents.*"):
        path.rename(path.with_name("events.out.tfevents.0.example"))


def keras():
    """CSVLogger, history.history and the TensorBoard callback, driven as `fit` drives them."""
    import keras

    history = keras.callbacks.History()
    logger = keras.callbacks.CSVLogger(FOLDER / "keras_csvlogger.csv")
    board = keras.callbacks.TensorBoard(FOLDER / "keras_tensorboard", write_graph=False)
    model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    shutil.rmtree(FOLDER / "keras_tensorboard", ignore_errors=True)
    for each in (history, logger, board):
        each.set_model(model)
        each.on_train_begin()
    for epoch, logs in rows():
        for each in (history, logger, board):
            each.on_epoch_end(epoch, dict(logs))
    for each in (logger, board):
        each.on_train_end()
    _name_events(FOLDER / "keras_tensorboard")
    (FOLDER / "keras_history.json").write_text(json.dumps(history.history))


def tensorboard():
    """Scalars as SummaryWriter of PyTorch writes them: simple values."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    shutil.rmtree(FOLDER / "tensorboard", ignore_errors=True)
    writer = EventFileWriter(str(FOLDER / "tensorboard"))
    for epoch, logs in rows():
        for tag, value in (("Loss/train", logs["loss"]), ("Loss/val", logs["val_loss"])):
            scalar = Summary.Value(tag=tag, simple_value=value)
            writer.add_event(Event(wall_time=0.0, step=epoch, summary=Summary(value=[scalar])))
    writer.close()
    _name_events(FOLDER / "tensorboard")


def wandb():
    """An offline run."""
    import wandb

    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {
            "WANDB_MODE": "offline",
            "WANDB_DIR": folder,
            "WANDB_SILENT": "true",
            "WANDB_DISABLE_CODE": "true",
        }
        settings = wandb.Settings(
            x_disable_stats=True, x_disable_meta=True, disable_git=True, x_disable_machine_info=True
        )
        with wandb.init(project="examples", name="planted", settings=settings) as run:
            for _, logs in rows():
                run.log(logs)
        (made,) = Path(folder).glob("wandb/offline-run-*/*.wandb")
        shutil.copy(made, FOLDER / "offline.wandb")


def mlflow():
    """A run of a store of files."""
    import mlflow

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    with tempfile.TemporaryDirectory() as folder:
        mlflow.set_tracking_uri(f"file:{folder}/mlruns")
        with mlflow.start_run(run_name="planted"):
            for epoch, logs in rows():
                mlflow.log_metrics(logs, step=epoch)
        (made,) = Path(folder).glob("mlruns/*/*/metrics")
        target = FOLDER / "mlruns" / "0" / "planted" / "metrics"
        shutil.rmtree(FOLDER / "mlruns", ignore_errors=True)
        shutil.copytree(made, target)


def pyarrow():
    """A table as pandas writes it."""
    import pyarrow as pa
    import pyarrow.parquet

    columns = {"epoch": list(range(EPOCHS)), "loss": LOSS.tolist(), "val_loss": VAL_LOSS.tolist()}
    pa.parquet.write_table(pa.table(columns), FOLDER / "history.parquet")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    globals()[sys.argv[1]]()
