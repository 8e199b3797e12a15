"""CPU, memory and GPU of the machine."""

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

__all__ = ["Monitor"]

_AGAIN_S = 30.0


class Monitor(SystemMetricsMonitor):  # type: ignore[misc]
    """MLflow's own gives up where the store is away for a moment, or the run is not running yet."""

    def monitor(self) -> None:
        """Measure until the end."""
        while not self._shutdown_event.is_set():
            super().monitor()
            self._shutdown_event.wait(_AGAIN_S)
