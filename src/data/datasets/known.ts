// Files of known data sets: where they come from and the hashes they must have.
// Hashes are of the unpacked content, so that original, repacked and plain files are all taken, if nothing differs.

/** One original file. */
export interface KnownFile {
  /** Its original name. */
  readonly name: string;
  /** Size and SHA-256 of the file as it is fetched. */
  readonly bytes: number;
  readonly sha256: string;
  /** SHA-256 of the content once unpacked. */
  readonly contentSha256?: string | undefined;
}

/** A data set with a home on the network. */
export interface KnownDataset {
  readonly title: string;
  readonly license: string;
  /** Folders that hold the files, tried in order. */
  readonly mirrors: readonly string[];
  readonly files: readonly KnownFile[];
}

/** Names that `fetchDataset` knows. */
export type KnownName = "mnist" | "fashion-mnist" | "cifar-10";

const idx = (name: string, bytes: number, sha256: string, contentSha256: string): KnownFile => ({
  name: `${name}.gz`,
  bytes,
  sha256,
  contentSha256,
});

/** All data sets that can be fetched. */
export const knownDatasets: { readonly [name in KnownName]: KnownDataset } = {
  mnist: {
    title: "MNIST: 70,000 handwritten digits of 28 × 28 (LeCun, Cortes, Burges)",
    license: "CC BY-SA 3.0, as commonly stated",
    mirrors: ["https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"],
    files: [
      idx(
        "train-images-idx3-ubyte",
        9_912_422,
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
      ),
      idx(
        "train-labels-idx1-ubyte",
        28_881,
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
      ),
      idx(
        "t10k-images-idx3-ubyte",
        1_648_877,
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
      ),
      idx(
        "t10k-labels-idx1-ubyte",
        4_542,
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
      ),
    ],
  },
  "fashion-mnist": {
    title: "Fashion-MNIST: 70,000 pictures of clothes of 28 × 28 (Xiao, Rasul, Vollgraf)",
    license: "MIT",
    mirrors: [
      "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
      "https://fashion-mnist.s3.eu-central-1.amazonaws.com/",
    ],
    files: [
      idx(
        "train-images-idx3-ubyte",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
      ),
      idx(
        "train-labels-idx1-ubyte",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
      ),
      idx(
        "t10k-images-idx3-ubyte",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
      ),
      idx(
        "t10k-labels-idx1-ubyte",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
      ),
    ],
  },
  "cifar-10": {
    title: "CIFAR-10, binary version: 60,000 colour pictures of 32 × 32 (Krizhevsky)",
    license: "none stated; cite the technical report of 2009",
    mirrors: ["https://www.cs.toronto.edu/~kriz/"],
    files: [
      {
        name: "cifar-10-binary.tar.gz",
        bytes: 170_052_171,
        sha256: "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
      },
    ],
  },
};

/** The digits that ship with the package, as `scripts/make-digits.mjs` made them. */
export const digitFiles: { readonly [part in "images" | "labels"]: Pick<KnownFile, "name" | "contentSha256"> } = {
  images: {
    name: "images-idx3-ubyte.gz",
    contentSha256: "b4e8042597e7a1adb8214a432bcf53dca5faf5f7c09acc7a948aa577fa668fa7",
  },
  labels: {
    name: "labels-idx1-ubyte.gz",
    contentSha256: "9c8cd1fb0b607368d431c0c03d8e588331b50193eab806112e75bae9548c3f85",
  },
};

/** MD5 of the files inside CIFAR-10's archive, as its users publish them; the archive itself is checked by SHA-256. */
export const cifarBatches: readonly (readonly [name: string, md5: string])[] = [
  ["data_batch_1.bin", "5dd7e06a14cb22eb9f671a540d1b7c25"],
  ["data_batch_2.bin", "5ea93a67294ea407fff1d09f752e9692"],
  ["data_batch_3.bin", "942cd6a4bcdd0dd3c604fbe906cb4421"],
  ["data_batch_4.bin", "ae636b3ba5c66a11e91e8cb52e771fcb"],
  ["data_batch_5.bin", "53f37980c15c3d472c316c40844f3f0d"],
  ["test_batch.bin", "803d5f7f4d78ea53de84dbe85f74fb6d"],
];
