import Files
import Foundation

/// Where tests find what they read. Nothing here depends on the working directory.
public enum Locations {
    /// The root of the repository, found from this file's own place.
    public static let repository = URL(filePath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()
        .path(percentEncoded: false).droppingTrailingSlash

    /// A file or folder of the repository, named from its root.
    public static func inRepository(_ path: String) -> String { repository + "/" + path }

    /// A committed fixture, named from `Tests/Fixtures`.
    public static func fixture(_ name: String) -> String { inRepository("Tests/Fixtures/" + name) }

    /// A file of the folder `shared` beside the repository, which holds real rows for those who have them; nil where it is absent.
    ///
    /// Write a check that needs one as `@Test(.enabled(if: Locations.shared("data/…") != nil))`.
    public static func shared(_ path: String) -> String? { existing(repository + "/../shared/" + path) }

    /// The real model that tests may load: the file named by `GRAFT_TEST_MODEL`, else what `make model` fetched; nil where there is neither.
    public static var model: String? {
        if let named = ProcessInfo.processInfo.environment["GRAFT_TEST_MODEL"], !named.isEmpty {
            return existing(named)
        }
        return existing(inRepository("Models/SmolLM2-135M-Instruct.gguf"))
    }

    /// The names in a folder below the repository's root, found recursively, that end as asked; sorted, named from the root.
    public static func files(under folder: String, ending suffix: String) -> [String] {
        let found = FileManager.default.enumerator(atPath: inRepository(folder))
        return (found?.compactMap { $0 as? String } ?? []).filter { $0.hasSuffix(suffix) }.sorted().map {
            folder + "/" + $0
        }
    }

    private static func existing(_ path: String) -> String? {
        if case .missing = PathKind(path) { nil } else { path }
    }
}

extension String {
    /// The path without the slash that marks it as a folder.
    fileprivate var droppingTrailingSlash: String { hasSuffix("/") ? String(dropLast()) : self }
}
