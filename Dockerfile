# One image for every process of Longhaul; the compose file gives each its command.
FROM python:3.12-slim-bookworm AS build
RUN python -m venv /opt/longhaul
ENV PATH=/opt/longhaul/bin:$PATH
WORKDIR /source
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt
COPY . .
# setuptools comes pinned with the rest, so nothing is fetched beside the list.
RUN pip install --no-cache-dir --disable-pip-version-check --no-deps --no-build-isolation .

FROM python:3.12-slim-bookworm
COPY --from=build /opt/longhaul /opt/longhaul
ENV PATH=/opt/longhaul/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /tmp
USER 10001:10001
