-- The files of finished videos: a private bucket, to be read by who may read the job. Function video alone writes
-- there.

do $migration$
begin
  -- A project without Storage keeps its videos at the provider.
  if to_regclass('storage.buckets') is null or to_regclass('storage.objects') is null then
    return;
  end if;
  execute format($sql$
    insert into %I.buckets (id, name, public, file_size_limit, allowed_mime_types)
    values ('videos', 'videos', false, 52428800, '{video/mp4}')
    on conflict (id) do nothing
  $sql$, 'storage');
  execute format($sql$
    create policy "people can read the files of video jobs that they can read" on %I.objects
      for select to authenticated
      using (bucket_id = 'videos' and exists (select from public.video_jobs j where j.storage_path = objects.name))
  $sql$, 'storage');
end;
$migration$;
