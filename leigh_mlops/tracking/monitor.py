"""Monitoring of the CPU, memory and GPU of the machine."""

from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

__all__ = ["SystemMonitor"]

_RETRY_S = 30.0


class SystemMonitor(SystemMetricsMonitor):  # type: ignore[misc]
    """System monitor that retries; MLflow's own gives up while the store does not answer or the run is not running."""

    def monitor(self) -> None:
        """Measure until the end."""
        while not self._shutdown_event.is_set():
            super().monitor()
            self._shutdown_event.wait(_RETRY_S)
